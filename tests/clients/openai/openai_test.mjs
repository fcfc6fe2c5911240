// OpenAI's SDK for Node, unmodified, against the real gateway, registry and worker:
// `openai_test.mjs SERVING MODULES`, where SERVING is slipway-test-serving and MODULES the folder
// with the SDK (deploy/bootstrap clients).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

const [serving, modules] = process.argv.slice(2);
const { default: OpenAI, toFile } = createRequire(`${modules}/package.json`)('openai');
const endpoint = '/v2/models/mlp/infer';

let child;
let lines;
let platform;
let client;

before(async () => {
  child = spawn(serving, { stdio: ['pipe', 'pipe', 'inherit'] });
  lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  platform = JSON.parse((await lines.next()).value);
  client = as(platform.key);
});

after(async () => {
  child.stdin.end();
  await new Promise((ended) => child.once('exit', ended));
});

function as(apiKey, options = {}) {
  return new OpenAI({ baseURL: `http://${platform.address}/v1`, apiKey, ...options });
}

async function command(line) {
  child.stdin.write(`${line}\n`);
  assert.equal((await lines.next()).value, 'done');
}

function line(id) {
  const x = { name: 'x', shape: [1, 4], datatype: 'FP32', data: platform.row };
  return JSON.stringify({ custom_id: id, method: 'POST', url: endpoint, body: { inputs: [x] } });
}

async function upload(text, purpose = 'batch') {
  return client.files.create({ file: await toFile(Buffer.from(text), 'lines.jsonl'), purpose });
}

test('models are listed and retrieved', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ['mlp', 'pump']);
  assert.equal((await client.models.retrieve('mlp')).owned_by, 'acme');
});

test('a file comes back as it went', async () => {
  const content = Buffer.alloc(2_000_000, 'slipway \r\n--');
  const file = await client.files.create({
    file: await toFile(content, 'some bytes.bin'),
    purpose: 'user_data',
  });
  assert.equal(file.bytes, content.length);
  assert.equal(file.filename, 'some bytes.bin');
  const back = Buffer.from(await (await client.files.content(file.id)).arrayBuffer());
  assert.ok(back.equals(content));
  assert.equal((await client.files.delete(file.id)).deleted, true);
  await assert.rejects(client.files.retrieve(file.id), OpenAI.NotFoundError);
});

test('files are listed by pages', async () => {
  const made = [];
  for (let i = 0; i < 3; ++i) {
    made.push((await upload(`${i}\n`, 'evals')).id);
    await pause(2);
  }
  const ids = [];
  for await (const file of client.files.list({ limit: 1, purpose: 'evals' })) ids.push(file.id);
  assert.deepEqual(ids, made.reverse());
});

test('a batch is answered', async () => {
  const file = await upload(`${line('a')}\n${line('b')}\nnonsense\n`);
  let batch = await client.batches.create({
    input_file_id: file.id,
    endpoint,
    completion_window: '24h',
  });
  while (!['completed', 'failed'].includes(batch.status)) {
    await pause(50);
    batch = await client.batches.retrieve(batch.id);
  }
  assert.equal(batch.status, 'completed');
  assert.deepEqual(batch.request_counts, { total: 3, completed: 2, failed: 1 });
  const output = (await (await client.files.content(batch.output_file_id)).text()).trim().split('\n');
  assert.equal(output.length, 2);
  JSON.parse(output[0]).response.body.outputs[0].data.forEach((value, i) =>
    assert.ok(Math.abs(value - platform.answer[i]) < 1e-4));
  for await (const each of client.batches.list({ limit: 1 })) {
    assert.equal(each.id, batch.id);
    break;
  }
  await assert.rejects(
    client.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === 'endpoint',
  );
});

function organization(adminAPIKey, options = {}) {
  return new OpenAI({ baseURL: `http://${platform.address}/v1`, adminAPIKey, ...options }).admin
    .organization;
}

async function idsOf(list) {
  const ids = [];
  for await (const each of list) ids.push(each.id);
  return ids;
}

test('an organization has projects, and they have keys', async () => {
  const { projects } = organization(platform.key);
  const project = await projects.create({ name: 'pictures' });
  assert.equal(project.name, 'pictures');
  assert.ok((await idsOf(projects.list({ limit: 1 }))).includes(project.id));
  const account = await projects.serviceAccounts.create(project.id, { name: 'robot' });
  const robot = as(account.api_key.value);
  assert.equal((await idsOf(robot.models.list())).length, 2);
  assert.deepEqual(await idsOf(projects.apiKeys.list(project.id)), [account.id]);
  const deleted = await projects.apiKeys.delete(account.id, { project_id: project.id });
  assert.equal(deleted.deleted, true);
  await assert.rejects(robot.models.retrieve('mlp'), OpenAI.AuthenticationError);
  assert.equal((await projects.archive(project.id)).status, 'archived');
  assert.ok(!(await idsOf(projects.list())).includes(project.id));
});

test('the operator has admin keys, and sets rate limits', async () => {
  await assert.rejects(
    organization(platform.key).adminAPIKeys.create({ name: 'mine' }),
    OpenAI.PermissionDeniedError,
  );
  const { adminAPIKeys, projects } = organization(platform.operator_key, { organization: 'acme' });
  const key = await adminAPIKeys.create({ name: 'night shift' });
  assert.ok((await idsOf(adminAPIKeys.list({ limit: 1 }))).includes(key.id));
  await adminAPIKeys.delete(key.id);
  await projects.rateLimits.updateRateLimit('rl-tenant', {
    project_id: 'default',
    max_tokens_per_1_minute: 5_000_000,
  });
  for await (const limit of projects.rateLimits.listRateLimits('default')) {
    assert.equal(limit.max_tokens_per_1_minute, 5_000_000);
  }
});

test('usage, costs and audit logs are read', async () => {
  const { usage, auditLogs } = organization(platform.key);
  const start_time = Math.floor(Date.now() / 1000) - 86400;
  const page = await usage.completions({ start_time, group_by: ['model'], models: ['mlp'] });
  const requests = page.data
    .flatMap((bucket) => bucket.results)
    .reduce((sum, result) => sum + result.num_model_requests, 0);
  assert.ok(requests >= 2, 'those of the batch');
  const first = await usage.costs({ start_time, limit: 1 });
  const rest = await usage.costs({ start_time, page: first.next_page });
  assert.equal(first.data[0].end_time, rest.data[0].start_time);
  const types = [];
  for await (const event of auditLogs.list({ limit: 2, effective_at: { gte: start_time } })) {
    types.push(event.type);
    if (types.length === 5) break;
  }
  assert.ok(types.includes('rate_limit.updated'), types.join(' '));
  await assert.rejects(organization(platform.key).users.list(), OpenAI.NotFoundError);
});

test('errors are typed, and have a request id', async () => {
  await assert.rejects(as('slw_local_wrong').models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, 'invalid_api_key');
    assert.equal(error.requestID.length, 32);
    return true;
  });
  await assert.rejects(
    as(platform.viewer_key).files.create({
      file: await toFile(Buffer.from('x'), 'x'),
      purpose: 'batch',
    }),
    OpenAI.PermissionDeniedError,
  );
});

test('what is away is asked for again, what is not here once', async () => {
  const statuses = [];
  const counting = async (url, options) => {
    const response = await fetch(url, options);
    statuses.push(response.status);
    if (response.status === 503) await command('registry on');
    return response;
  };
  const counted = as(platform.key, { fetch: counting });
  await command('registry off');
  await counted.files.list();
  assert.deepEqual(statuses, [503, 200]);
  statuses.length = 0;
  await assert.rejects(counted.embeddings.create({ model: 'mlp', input: 'x' }), OpenAI.NotFoundError);
  assert.deepEqual(statuses, [404]);
});

test('a version is trained on, paused, resumed and cancelled', async () => {
  const rows = Array.from({ length: 60 }, (_, i) => ({ x: i % 7, kind: i % 7 > 3 ? 'a' : 'b' }));
  const text = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  const file = await client.files.create({
    file: await toFile(Buffer.from(text), 'rows.jsonl'),
    purpose: 'fine-tune',
  });
  const spec = {
    model: 'kinds',
    dataset: file.id,
    data: {
      format: 'jsonl',
      train: { inputs: 'rows.jsonl' },
      target_column: 'kind',
      test_fraction: 0.2,
    },
    architecture: { type: 'mlp', hidden: [8] },
    loss: { type: 'cross_entropy' },
    optimizer: { type: 'adam', learning_rate: 0.01 },
    training: { epochs: 2, batch_size: 16, seed: 1 },
    resources: { threads: 1 },
  };
  const callPlatform = async (method, path, body) => {
    const answer = await fetch(`http://${platform.address}/api/v1/tenants/-/${path}`, {
      method,
      body: body && JSON.stringify(body),
      headers: { authorization: `Bearer ${platform.key}` },
    });
    return answer.json();
  };
  let base = await callPlatform('POST', 'jobs?jobId=base', { spec });
  while (!['SUCCEEDED', 'FAILED'].includes(base.state)) {
    await pause(100);
    base = await callPlatform('GET', 'jobs/base');
  }
  assert.equal(base.state, 'SUCCEEDED', base.error);

  const { jobs } = client.fineTuning;
  const reach = async (job, status) => {
    while (![status, 'succeeded', 'failed', 'cancelled'].includes(job.status)) {
      await pause(50);
      job = await jobs.retrieve(job.id);
    }
    assert.equal(job.status, status);
    return job;
  };
  let job = await jobs.create({ training_file: file.id, model: 'kinds', suffix: 'mine', seed: 3 });
  assert.equal(job.model, 'kinds:1');
  job = await reach(job, 'succeeded');
  assert.equal(job.fine_tuned_model, 'kinds-mine:1');
  const events = [];
  for await (const event of jobs.listEvents(job.id, { limit: 3 })) events.push(event);
  assert.equal(events.at(-1).message, 'submitted');
  const checkpoints = [];
  for await (const each of jobs.checkpoints.list(job.id, { limit: 1 })) checkpoints.push(each);
  assert.equal(checkpoints[0].fine_tuning_job_id, job.id);

  job = await jobs.create({
    training_file: file.id,
    model: 'kinds:1',
    hyperparameters: { n_epochs: 5000 },
  });
  await reach(job, 'running');
  await jobs.pause(job.id);
  await reach(job, 'paused');
  assert.equal((await jobs.resume(job.id)).status, 'queued');
  await jobs.cancel(job.id);
  await reach(await jobs.retrieve(job.id), 'cancelled');
  await assert.rejects(
    jobs.create({ training_file: file.id, model: 'kinds', method: { type: 'dpo' } }),
    (error) => error.status === 400 && error.param === 'method.type',
  );
});
