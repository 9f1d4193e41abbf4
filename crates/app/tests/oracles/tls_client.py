"""What does Python's own client get over TLS? Told by a file of JSON; asks twice over one connection."""

import http.client
import json
import ssl
import sys

with open(sys.argv[1]) as file:
    told = json.load(file)
context = ssl.create_default_context(cafile=told["authority"])
context.set_alpn_protocols(["h2", "http/1.1"])
context.maximum_version = ssl.TLSVersion[told["version"]]
connection = http.client.HTTPSConnection("localhost", told["port"], context=context)
answers = []
for _ in range(2):
    connection.request("POST", "/predict", told["body"])
    answer = connection.getresponse()
    answers.append({
        "status": answer.status, "scores": json.loads(answer.read())["scores"], "version": connection.sock.version(),
        "protocol": connection.sock.selected_alpn_protocol(),
    })
print(json.dumps(answers))
