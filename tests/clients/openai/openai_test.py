"""OpenAI's SDK for Python, unmodified, against the real gateway, registry, training
service and worker:
`openai_test.py SERVING`, where SERVING is slipway-test-serving."""

import asyncio
import io
import json
import os
import subprocess
import sys
import time
import unittest
import urllib.request

import openai

SERVING = None
ENDPOINT = "/v2/models/mlp/infer"


def setUpModule():
    global SERVING
    process = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    SERVING = json.loads(process.stdout.readline())
    SERVING["process"] = process


def tearDownModule():
    SERVING["process"].stdin.close()
    SERVING["process"].wait(60)
    SERVING["process"].stdout.close()


def command(line):
    print(line, file=SERVING["process"].stdin, flush=True)
    assert SERVING["process"].stdout.readline() == "done\n"


def client(key="key", **options):
    return openai.OpenAI(base_url=f"http://{SERVING['address']}/v1", api_key=SERVING.get(key, key),
                         **options)


def counting(on_response=None, **options):
    """A client that keeps the status of each answer, those it tries again after too."""
    statuses = []

    def keep(response):
        statuses.append(response.status_code)
        if on_response is not None:
            on_response(response)

    transport = openai.DefaultHttpxClient(event_hooks={"response": [keep]})
    return client(http_client=transport, **options), statuses


def line(custom_id, row=None, url=ENDPOINT):
    body = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32",
                        "data": row or SERVING["row"]}]}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body})


def upload(text, purpose="batch"):
    return client().files.create(file=("lines.jsonl", text.encode()), purpose=purpose)


def wait_for_end(batch):
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        time.sleep(0.05)
        batch = client().batches.retrieve(batch.id)
    return batch


def content_lines(file_id):
    return [json.loads(each) for each in client().files.content(file_id).text.splitlines()]


def call_platform(method, path, body=None):
    request = urllib.request.Request(
        f"http://{SERVING['address']}/api/v1/{path}", method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {SERVING['key']}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


class FineTuningTest(unittest.TestCase):
    """Over the real training service and trainer."""

    @classmethod
    def setUpClass(cls):
        cls.jobs = client().fine_tuning.jobs
        rows = [{"x": i % 7, "y": i % 5, "kind": "ab"[i % 7 > 3]} for i in range(80)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        cls.file = client().files.create(file=("rows.jsonl", text.encode()), purpose="fine-tune")
        cls.wait_for_base(call_platform("POST", "tenants/-/jobs?jobId=base", {"spec": {
            "model": "kinds", "dataset": cls.file.id, "alias": "production",
            "data": {"format": "jsonl", "train": {"inputs": "rows.jsonl"}, "target_column": "kind",
                     "test_fraction": 0.2, "standardize": True},
            "architecture": {"type": "mlp", "hidden": [8]}, "loss": {"type": "cross_entropy"},
            "optimizer": {"type": "adam", "learning_rate": 0.01},
            "training": {"epochs": 3, "batch_size": 16, "seed": 1}, "resources": {"threads": 1}}}))

    @staticmethod
    def wait_for_base(job):
        while job["state"] not in ("SUCCEEDED", "FAILED"):
            time.sleep(0.1)
            job = call_platform("GET", "tenants/-/jobs/base")
        assert job["state"] == "SUCCEEDED", job["error"]

    def wait(self, job, *statuses):
        while job.status not in statuses + ("succeeded", "failed", "cancelled"):
            time.sleep(0.05)
            job = self.jobs.retrieve(job.id)
        return job

    def test_a_job_becomes_a_version_with_events_and_checkpoints(self):
        job = self.jobs.create(training_file=self.file.id, model="kinds:production", seed=3,
                               method={"type": "supervised", "supervised": {
                                   "hyperparameters": {"n_epochs": 5}}})
        self.assertEqual((job.model, job.seed, job.training_file), ("kinds:1", 3, self.file.id))
        self.assertEqual(job.method.supervised.hyperparameters.n_epochs, 5)
        job = self.wait(job)
        self.assertEqual((job.status, job.error), ("succeeded", None))
        self.assertRegex(job.fine_tuned_model, r"^kinds:\d+$")
        events = list(self.jobs.list_events(job.id, limit=3))
        self.assertEqual(events[-1].message, "submitted")
        self.assertIn("metrics", {event.type for event in events})
        self.assertEqual(len(events), len({event.id for event in events}))
        checkpoints = list(self.jobs.checkpoints.list(job.id, limit=1))
        self.assertEqual(checkpoints[0].fine_tuning_job_id, job.id)
        self.assertGreater(checkpoints[0].step_number, checkpoints[-1].step_number)
        self.assertIn(job.id, [each.id for each in self.jobs.list(limit=1)])

    def test_pauses_resumes_and_cancels(self):
        job = self.jobs.create(training_file=self.file.id, model="kinds",
                               hyperparameters={"n_epochs": 5000})
        self.wait(job, "running")
        self.jobs.pause(job.id)
        self.assertEqual(self.wait(job, "paused").status, "paused")
        self.assertEqual(self.jobs.resume(job.id).status, "queued")
        self.jobs.cancel(job.id)
        self.assertEqual(self.wait(job).status, "cancelled")

    def test_a_bad_file_is_told_with_its_line(self):
        file = client().files.create(file=("chat.jsonl", b'{"messages": []}\n'),
                                     purpose="fine-tune")
        job = self.wait(self.jobs.create(training_file=file.id, model="kinds"))
        self.assertEqual((job.status, job.error.code), ("failed", "invalid_training_file"))
        self.assertIn("chat.jsonl, line 1", job.error.message)

    def test_what_has_no_meaning_here_is_a_bad_request(self):
        for param, wanted in (("model", {"model": "gpt-4o"}),
                              ("method.type", {"model": "kinds", "method": {"type": "dpo"}}),
                              ("validation_file",
                               {"model": "kinds", "validation_file": self.file.id})):
            with self.assertRaises(openai.BadRequestError) as refused:
                self.jobs.create(training_file=self.file.id, **wanted)
            self.assertEqual(refused.exception.param, param)


class ModelsTest(unittest.TestCase):
    def test_lists_and_retrieves(self):
        models = {model.id: model for model in client().models.list()}
        self.assertEqual(set(models), {"mlp", "pump"})
        self.assertEqual(models["mlp"].object, "model")
        self.assertEqual(models["mlp"].owned_by, "acme")
        self.assertEqual(client().models.retrieve("mlp"), models["mlp"])

    def test_async(self):
        async def ids():
            async with openai.AsyncOpenAI(base_url=f"http://{SERVING['address']}/v1",
                                          api_key=SERVING["key"]) as each:
                return [model.id async for model in each.models.list()]
        self.assertEqual(sorted(asyncio.run(ids())), ["mlp", "pump"])


class FilesTest(unittest.TestCase):
    def test_a_file_comes_back(self):
        content = os.urandom(3_000_000)
        for source in (content, io.BytesIO(content), ("a name.bin", content)):
            file = client().files.create(file=source, purpose="user_data")
            self.assertEqual((file.object, file.bytes, file.purpose, file.status),
                             ("file", len(content), "user_data", "processed"))
            self.assertEqual(client().files.retrieve(file.id), file)
            self.assertEqual(client().files.content(file.id).read(), content)
            deleted = client().files.delete(file.id)
            self.assertTrue(deleted.deleted)
            with self.assertRaises(openai.NotFoundError):
                client().files.content(file.id)

    def test_lists_by_pages(self):
        made = []
        for i in range(5):
            made.append(upload(f"{i}\n", purpose="evals").id)
            time.sleep(0.002)
        ids = [file.id for file in client().files.list(limit=2, purpose="evals")]
        self.assertEqual(ids, made[::-1])
        page = client().files.list(limit=2, purpose="evals", order="asc")
        self.assertEqual([file.id for file in page.data], made[:2])
        self.assertTrue(page.has_more)
        self.assertEqual([file.id for file in page.get_next_page().data], made[2:4])

    def test_says_what_is_wrong(self):
        with self.assertRaises(openai.BadRequestError) as raised:
            client().files.create(file=b"x", purpose="fun")
        self.assertEqual(raised.exception.param, "purpose")
        self.assertEqual(len(raised.exception.request_id), 32)
        with self.assertRaises(openai.PermissionDeniedError):
            client("viewer_key").files.create(file=b"x", purpose="batch")


class BatchesTest(unittest.TestCase):
    def test_a_batch_is_answered(self):
        wrong = json.dumps({"custom_id": "wrong", "method": "POST", "url": ENDPOINT,
                            "body": {"inputs": []}})
        text = "\n".join([line(f"row-{i}") for i in range(100)] + [wrong, "{nonsense"])
        file = upload(text)
        batch = client().batches.create(input_file_id=file.id, endpoint=ENDPOINT,
                                        completion_window="24h", metadata={"for": "a test"})
        self.assertEqual(batch.object, "batch")
        self.assertEqual(batch.metadata, {"for": "a test"})
        batch = wait_for_end(batch)
        self.assertEqual(batch.status, "completed", batch)
        self.assertEqual((batch.request_counts.total, batch.request_counts.completed,
                          batch.request_counts.failed), (102, 100, 2))
        self.assertGreaterEqual(batch.completed_at, batch.created_at)
        output = content_lines(batch.output_file_id)
        self.assertEqual([each["custom_id"] for each in output], [f"row-{i}" for i in range(100)])
        for each in output:
            self.assertEqual(each["response"]["status_code"], 200)
            answer = each["response"]["body"]["outputs"][0]["data"]
            for got, expected in zip(answer, SERVING["answer"]):
                self.assertAlmostEqual(got, expected, places=4)
        errors = content_lines(batch.error_file_id)
        self.assertEqual(errors[0]["custom_id"], "wrong")
        self.assertEqual(errors[0]["response"]["status_code"], 400)
        self.assertEqual(errors[1]["error"]["code"], "invalid_line")
        self.assertEqual(next(iter(client().batches.list(limit=1))).id, batch.id)

    def test_cancels(self):
        batch = client().batches.create(input_file_id=upload(line("a")).id, endpoint=ENDPOINT,
                                        completion_window="24h")
        cancelled = client().batches.cancel(batch.id)
        self.assertIn(cancelled.status, ("cancelling", "cancelled", "completed"))
        self.assertIn(wait_for_end(cancelled).status, ("cancelled", "completed"))

    def test_says_which_endpoints_are_not_there_yet(self):
        file = upload(line("a"))
        for endpoint in ("/v1/chat/completions", "/v1/embeddings"):
            with self.assertRaisesRegex(openai.BadRequestError, "no batches for") as raised:
                client().batches.create(input_file_id=file.id, endpoint=endpoint,
                                        completion_window="24h")
            self.assertEqual(raised.exception.param, "endpoint")
        with self.assertRaises(openai.NotFoundError):
            client().batches.create(input_file_id="file-none", endpoint=ENDPOINT,
                                    completion_window="24h")


def organization(key="key", **options):
    return openai.OpenAI(base_url=f"http://{SERVING['address']}/v1", admin_api_key=SERVING[key],
                         **options).admin.organization


class OrganizationTest(unittest.TestCase):
    def test_a_project_has_keys_until_it_is_archived(self):
        projects = organization().projects
        made = [projects.create(name=f"pictures {i}") for i in range(3)]
        self.assertEqual((made[0].object, made[0].name, made[0].status),
                         ("organization.project", "pictures 0", "active"))
        self.assertEqual(projects.retrieve(made[0].id), made[0])
        listed = [project.id for project in projects.list(limit=2)]
        self.assertEqual(listed[:1], ["default"])
        self.assertLessEqual({project.id for project in made}, set(listed))

        account = projects.service_accounts.create(made[0].id, name="robot",
                                                   expires_in_seconds=3600)
        self.assertEqual(account.role, "member")
        self.assertEqual(account.api_key.expires_at, account.created_at + 3600)
        robot = client(account.api_key.value)
        self.assertEqual(len(list(robot.models.list())), 2)
        keys = projects.api_keys
        self.assertEqual([key.id for key in keys.list(made[0].id)], [account.id])
        key = keys.retrieve(account.id, project_id=made[0].id)
        self.assertEqual((key.name, key.owner.service_account.id), ("robot", account.id))
        self.assertNotIn(account.api_key.value, key.to_json())
        self.assertTrue(keys.delete(account.id, project_id=made[0].id).deleted)
        with self.assertRaises(openai.AuthenticationError):
            robot.models.list()

        for project in made:
            self.assertEqual(projects.archive(project.id).status, "archived")
        self.assertFalse({project.id for project in made} &
                         {project.id for project in projects.list()})

    def test_admin_keys_are_the_operators(self):
        with self.assertRaises(openai.PermissionDeniedError):
            organization().admin_api_keys.list()
        keys = organization("operator_key").admin_api_keys
        made = keys.create(name="night shift")
        self.assertTrue(made.value.startswith("slw_"))
        self.assertEqual(keys.retrieve(made.id).name, "night shift")
        self.assertIn(made.id, [key.id for key in keys.list(limit=1)])
        self.assertTrue(keys.delete(made.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            keys.retrieve(made.id)

    def test_rate_limits_are_the_tenants_and_the_operator_sets_them(self):
        limits = organization("operator_key", organization="acme").projects.rate_limits
        limit = limits.update_rate_limit("rl-tenant", project_id="default",
                                         max_requests_per_1_minute=1_000_000)
        self.assertEqual(limit.max_requests_per_1_minute, 1_000_000)
        mine = organization().projects.rate_limits
        self.assertEqual([each for each in mine.list_rate_limits("default")], [limit])
        with self.assertRaises(openai.PermissionDeniedError):
            mine.update_rate_limit("rl-tenant", project_id="default", max_tokens_per_1_minute=1)

    def test_usage_and_costs(self):
        batch = client().batches.create(input_file_id=upload(line("a")).id, endpoint=ENDPOINT,
                                        completion_window="24h")
        self.assertEqual(wait_for_end(batch).status, "completed")
        usage = organization().usage
        today = int(time.time()) - 86400
        page = usage.completions(start_time=today, group_by=["model", "project_id"],
                                 models=["mlp"])
        results = [result for bucket in page.data for result in bucket.results]
        self.assertEqual({result.model for result in results}, {"mlp"})
        self.assertEqual({result.project_id for result in results}, {"default"})
        self.assertGreaterEqual(sum(result.num_model_requests for result in results), 1)
        first = usage.costs(start_time=today, group_by=["line_item"], limit=1)
        self.assertTrue(first.has_more)
        rest = usage.costs(start_time=today, group_by=["line_item"], page=first.next_page)
        results = [result for page in (first, rest) for bucket in page.data
                   for result in bucket.results if result.line_item == "inference"]
        self.assertGreaterEqual(sum(result.quantity for result in results), 1)
        with self.assertRaises(openai.NotFoundError):
            usage.images(start_time=today)

    def test_audit_logs(self):
        project = organization().projects.create(name="audited")
        made = []
        for event in organization().audit_logs.list(limit=1, effective_at={"gte": 1}):
            made.append(event)
            if len(made) == 3:
                break
        self.assertEqual(len({event.id for event in made}), 3)
        self.assertEqual(made[0].type, "project.created")
        self.assertEqual(made[0].project_created.id, project.id)
        self.assertEqual(made[0].actor.api_key.type, "service_account")

    def test_what_is_not_here_is_a_404(self):
        for call in (organization().users.list, organization().invites.list,
                     organization().certificates.list):
            with self.assertRaises(openai.NotFoundError):
                call()


class ErrorsTest(unittest.TestCase):
    def test_are_typed(self):
        with self.assertRaises(openai.AuthenticationError) as raised:
            client("slw_local_wrong").models.list()
        self.assertEqual(raised.exception.code, "invalid_api_key")
        self.assertEqual(len(raised.exception.request_id), 32)
        with self.assertRaises(openai.NotFoundError) as raised:
            client().models.retrieve("nothing")
        self.assertIn("nothing", raised.exception.message)

    def test_what_is_not_here_is_asked_for_once(self):
        each, statuses = counting()
        with self.assertRaises(openai.NotFoundError):
            each.chat.completions.create(model="mlp", messages=[{"role": "user", "content": "?"}])
        self.assertEqual(statuses, [404])

    def test_what_is_away_is_asked_for_again_when_it_says(self):
        command("registry off")

        def on_response(response):
            if response.status_code == 503:
                self.assertEqual(response.headers["retry-after-ms"], "1000")
                command("registry on")

        each, statuses = counting(on_response)
        try:
            each.files.list()
        finally:
            if 503 not in statuses:
                command("registry on")
        self.assertEqual(statuses, [503, 200])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
