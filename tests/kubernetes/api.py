"""What an API server answers where it refuses."""


class ApiError(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{code} {reason}")
        self.code = code
