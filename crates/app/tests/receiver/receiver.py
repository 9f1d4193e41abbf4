"""A receiver of webhooks as anybody would write one: it verifies with the library of Standard Webhooks.

Reads its settings as JSON from the argument, writes its port and then one JSON line for every request that came. `answers` are given one
after the other, then 200 for ever: a status, `503:2` with Retry-After, `slow`, `close`, or `garbage`. A message of the type `poison` is
never taken.
"""

import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

settings = json.loads(sys.argv[1])
answers = list(settings.get("answers", []))
lock = threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: the body would wait for the head's acknowledgement, which systems delay by 40 ms.
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            verified = Webhook(settings["secret"]).verify(body, headers) == json.loads(body)
        except WebhookVerificationError:
            verified = False
        with lock:
            answer = answers.pop(0) if answers else "200"
            if json.loads(body)["type"] == settings.get("poison"):
                answer = "500"
            told = {"id": headers["webhook-id"], "verified": verified, "answer": answer, "path": self.path, "headers": headers, "body": body}
            print(json.dumps(told), flush=True)
        if answer == "slow":
            time.sleep(settings.get("slow_seconds", 3))
        elif answer == "close":
            self.close_connection = True
        elif answer == "garbage":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            self.close_connection = True
        else:
            status, _, wish = answer.partition(":")
            self.send_response(int(status))
            if wish:
                self.send_header("retry-after", wish)
            if status.startswith("3"):
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", settings.get("port", 0)), Receiver)
if "certificate" in settings:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certificate"], settings["key"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
