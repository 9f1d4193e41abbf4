"""How does a client of an installation get its key, what is answered to it, and how is the key taken back?"""

import json
import re
import subprocess

from checks import output


class Keys:
    """A file of keys, as the program itself writes it, in a secret; and the one key that was made."""

    def __init__(self, secrets, program, folder):
        self.secrets, self.program = secrets, str(program)
        folder.mkdir()
        self.file = folder / "keys.json"
        self.key = self.keys("create", "--name", "rehearsal", "--scope", "score").strip()
        self.arn = secrets.create_secret(Name="fraud-keys", SecretString=self.file.read_text())["ARN"]

    def keys(self, *words):
        return output(self.program, "keys", *words, "--keys", str(self.file))

    def take_back(self):
        self.keys("revoke", self.key.split("_")[1])
        self.secrets.put_secret_value(SecretId=self.arn, SecretString=self.file.read_text())


def predicted(command, folder, key=None):
    """What FraudDetectionPredictCommand is answered in `folder`, as it stands or with a key: the status, and the body."""
    header = f" --header 'X-Api-Key: {key}'" if key else ""
    said = subprocess.run(command + header, shell=True, cwd=folder, check=True, capture_output=True, text=True)
    return int(re.search(r"^< HTTP/1\.1 (\d{3})", said.stderr, re.MULTILINE)[1]), said.stdout


def only_holders_are_answered(command, folder, key):
    """What was answered without a key, with another one, and with the right one."""
    other = key[:20] + ("0" if key[20] != "0" else "1") + key[21:]
    answers = [predicted(command, folder, shown) for shown in (None, other, key)]
    statuses = [status for status, _ in answers]
    assert statuses == [401, 401, 200], answers
    assert 0 <= json.loads(answers[2][1])["scores"][0] <= 1, answers
    assert not any(shown in body for _, body in answers for shown in (key, other)), "a key came back"
    return f"401 without a key and with another one, 200 with it: {answers[2][1]}"
