"""The API server's REST, as far as the tests need it."""
import http.client
import json
import ssl


class ApiError(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{code} {reason}")
        self.code = code


class Api:
    """The API server's REST, one connection. One thread at a time."""

    def __init__(self, address, ca_file, token):
        self._address = address
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._token = token
        self._connection = None

    def call(self, method, path, body=None, kind="application/json"):
        for last in (False, True):
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPSConnection(*self._address, timeout=30,
                                                                   context=self._tls)
                headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
                self._connection.request(method, path, body and json.dumps(body), headers)
                response = self._connection.getresponse()
                text = response.read()
                break
            except (OSError, http.client.HTTPException):
                self._connection = None
                if last:
                    raise
        if response.status >= 300:
            raise ApiError(response.status, text.decode(errors="replace"))
        return json.loads(text)

    def get(self, path):
        return self.call("GET", path)

    def list(self, path):
        return self.get(path)["items"]

    def create(self, path, body):
        return self.call("POST", path, body)

    def patch(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")
