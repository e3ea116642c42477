/*
 * The whole journey of a batch with the openai package, in the way its README shows each call.
 *
 * It takes the server and the key from OPENAI_BASE_URL and OPENAI_API_KEY, prints what it saw as JSON lines, and ends with
 * a stack trace at the first thing that is not as the package promises. The server must answer "break" with an error
 * of status 400, hold "hold" until somebody cancels, and repeat everything else.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';

const DAY = 24 * 60 * 60;
const EXPIRY = { anchor: 'created_at', seconds: 3600 };

const client = new OpenAI();

function saw(step, facts = {}) {
  console.log(JSON.stringify({ step, ...facts }));
}

function jsonl(...texts) {
  return texts.map((text, i) => JSON.stringify({
    custom_id: `request-${i + 1}`,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model: 'echo', messages: [{ role: 'user', content: text }] },
  }) + '\n').join('');
}

async function raised(kind, promise) {
  const error = await promise.then(() => assert.fail(`expected ${kind.name}, but nothing was thrown`), (e) => e);
  assert.equal(error.constructor, kind, error.stack);
  assert.match(error.requestID, /^req_/);
  return error;
}

function submitted(file, more = {}, options = {}) {
  return client.batches.create(
    { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h', ...more }, options);
}

async function ended(batch) {
  while (!['completed', 'failed', 'expired', 'cancelled'].includes(batch.status)) {
    await sleep(20);
    batch = await client.batches.retrieve(batch.id);
  }
  return batch;
}

async function results(fileId) {
  const text = await (await client.files.content(fileId)).text();
  const lines = text.trimEnd().split('\n').map((line) => JSON.parse(line));
  return Object.fromEntries(lines.map((line) => [line.custom_id, line]));
}

async function ids(pages) {
  const found = [];
  for await (const each of pages) found.push(each.id);
  return found;
}

async function upload(folder) {
  const content = jsonl('one', 'two', 'break');
  const file = path.join(folder, 'requests.jsonl');
  fs.writeFileSync(file, content);

  const files = [
    await client.files.create({ file: fs.createReadStream(file), purpose: 'batch' }),
    await client.files.create({ file: new File([content], 'web.jsonl'), purpose: 'batch', expires_after: EXPIRY }),
    await client.files.create({ file: await toFile(Buffer.from(content), 'naïve name.jsonl'), purpose: 'batch' }),
  ];

  assert.deepEqual(files.map((f) => f.filename), ['requests.jsonl', 'web.jsonl', 'naïve name.jsonl']);
  assert.deepEqual(files.map((f) => f.expires_at - f.created_at), [30 * DAY, 3600, 30 * DAY]);
  for (const f of files) {
    assert.deepEqual([f.object, f.purpose, f.status, f.bytes], ['file', 'batch', 'processed', content.length]);
    assert.ok(Number.isInteger(f.created_at));
    assert.match(f._request_id, /^req_/);
    assert.deepEqual(await client.files.retrieve(f.id), f);
  }
  saw('upload', { ids: files.map((f) => f.id) });
  return files;
}

async function listFiles(files) {
  const newestFirst = files.map((f) => f.id).reverse();

  assert.deepEqual(await ids(client.files.list({ limit: 2 })), newestFirst);
  const oldestFirst = await ids(client.files.list({ limit: 1, order: 'asc', purpose: 'batch' }));
  assert.deepEqual(oldestFirst, newestFirst.toReversed());
  assert.deepEqual(await ids(client.files.list({ purpose: 'batch_output' })), []);
  saw('list files', { ids: newestFirst });
}

async function contentOf(file) {
  const expected = jsonl('one', 'two', 'break');

  const response = await client.files.content(file.id);
  assert.equal(response.headers.get('content-length'), String(expected.length));
  assert.equal(await response.text(), expected);
  const chunks = [];
  for await (const chunk of (await client.files.content(file.id)).body) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), expected);
  saw('content', { bytes: expected.length });
}

async function complete(file) {
  let batch = await submitted(file, { metadata: { customer: 'naïve', run: '7' }, output_expires_after: EXPIRY });
  assert.deepEqual([batch.object, batch.status, batch.expires_at - batch.created_at], ['batch', 'validating', DAY]);
  assert.deepEqual(batch.request_counts, { total: 0, completed: 0, failed: 0 });
  assert.deepEqual(batch.metadata, { customer: 'naïve', run: '7' });
  assert.deepEqual([batch.errors, batch.output_file_id, batch.error_file_id], [null, null, null]);

  batch = await ended(batch);
  assert.equal(batch.status, 'completed');
  assert.deepEqual(batch.request_counts, { total: 3, completed: 2, failed: 1 });
  const times = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at];
  assert.ok(times.every(Number.isInteger));
  assert.deepEqual(times.toSorted((a, b) => a - b), times);
  assert.deepEqual([batch.model, batch.usage.input_tokens, batch.usage.total_tokens], ['echo', 2, 4]);

  const output = await client.files.retrieve(batch.output_file_id);
  assert.deepEqual([output.purpose, output.expires_at - output.created_at], ['batch_output', 3600]);
  const answers = await results(output.id);
  const faults = await results(batch.error_file_id);
  assert.deepEqual(Object.keys(answers).sort(), ['request-1', 'request-2']);
  assert.deepEqual(Object.keys(faults), ['request-3']);
  assert.equal(answers['request-1'].response.body.choices[0].message.content, 'one');
  assert.equal(faults['request-3'].response.body.error.code, 'broken_on_purpose');
  saw('complete', { id: batch.id });
  return batch;
}

async function fail() {
  const file = await client.files.create({ file: await toFile(Buffer.from(jsonl('one') + '{}\n'), 'bad.jsonl'),
    purpose: 'batch' });
  const batch = await ended(await submitted(file));

  assert.deepEqual([batch.status, batch.errors.object], ['failed', 'list']);
  const { line, code, param, message } = batch.errors.data[0];
  assert.deepEqual([line, code, param], [2, 'missing_required_parameter', 'custom_id']);
  assert.ok(message && Number.isInteger(batch.failed_at));
  saw('fail', { id: batch.id });
  return batch;
}

async function cancel() {
  const held = await toFile(Buffer.from(jsonl(...Array(100).fill('hold'))), 'held.jsonl');
  const file = await client.files.create({ file: held, purpose: 'batch' });

  let batch = await client.batches.cancel((await submitted(file)).id);
  assert.deepEqual([batch.status, Number.isInteger(batch.cancelling_at)], ['cancelling', true]);
  batch = await ended(batch);
  assert.deepEqual([batch.status, Number.isInteger(batch.cancelled_at)], ['cancelled', true]);
  assert.equal(batch.request_counts.completed + batch.request_counts.failed, 100);
  const codes = Object.values(await results(batch.error_file_id)).map((line) => line.error.code);
  assert.deepEqual([...new Set(codes)], ['batch_cancelled']);
  assert.equal((await client.batches.cancel(batch.id)).status, 'cancelled');
  saw('cancel', { id: batch.id });
  return batch;
}

async function cancelTooLate(batch) {
  const error = await raised(OpenAI.ConflictError, client.batches.cancel(batch.id));

  assert.deepEqual([error.status, error.error.message], [409, "Cannot cancel a batch with status 'completed'."]);
  saw('cancel too late', { id: batch.id });
}

async function listBatches(batches, file) {
  const more = [];
  for (let i = 0; i < 7; i++) more.push(await submitted(file));
  const newestFirst = [...batches, ...more].map((batch) => batch.id).reverse();

  assert.deepEqual(await ids(client.batches.list({ limit: 4 })), newestFirst);
  assert.deepEqual(await ids(client.batches.list()), newestFirst);
  const first = await client.batches.list({ limit: 4 });
  assert.deepEqual([first.data.length, first.has_more, first.hasNextPage()], [4, true, true]);
  const second = await first.getNextPage();
  assert.deepEqual(second.data.map((batch) => batch.id), newestFirst.slice(4, 8));
  saw('list batches', { ids: newestFirst });
}

async function remove(file) {
  assert.deepEqual(await client.files.delete(file.id), { id: file.id, object: 'file', deleted: true });

  for (const gone of ['retrieve', 'content', 'delete']) {
    const error = await raised(OpenAI.NotFoundError, client.files[gone](file.id));
    assert.equal(error.error.message, `No such File object: ${file.id}`);
  }
  saw('delete', { id: file.id });
}

async function refusals(file) {
  let error = await raised(OpenAI.AuthenticationError, new OpenAI({ apiKey: 'sk-wrong' }).files.list());
  assert.deepEqual([error.status, error.code], [401, 'invalid_api_key']);

  error = await raised(OpenAI.BadRequestError, submitted(file, { endpoint: '/v1/nothing' }));
  assert.deepEqual([error.param, error.code, error.type], ['endpoint', 'invalid_value', 'invalid_request_error']);
  error = await raised(OpenAI.BadRequestError, submitted(file, { metadata: { key: 'x'.repeat(513) } }));
  assert.deepEqual([error.param, error.code], ['metadata.key', 'string_above_max_length']);
  const nonsense = await toFile(Buffer.from('{}'), 'in.jsonl');
  error = await raised(OpenAI.BadRequestError, client.files.create({ file: nonsense, purpose: 'nonsense' }));
  assert.deepEqual([error.param, error.code], ['purpose', 'invalid_value']);
  error = await raised(OpenAI.NotFoundError, client.batches.retrieve('batch_none'));
  assert.equal(error.error.message, "No batch found with id 'batch_none'.");
  saw('refusals');
}

/** The package sends no idempotency key by itself; a user can. */
async function createOnce(file) {
  const first = await submitted(file, {}, { headers: { 'Idempotency-Key': 'mine' } });
  const again = await submitted(file, {}, { headers: { 'Idempotency-Key': 'mine' } });

  assert.equal(again.id, first.id);
  saw('create once', { id: first.id });
  return first;
}

async function otherEndpoints() {
  assert.deepEqual(await ids(client.models.list()), ['echo']);
  assert.equal((await client.models.retrieve('echo')).object, 'model');
  const error = await raised(OpenAI.NotFoundError, client.models.retrieve('deepseek-ai/DeepSeek-V3'));
  assert.deepEqual([error.param, error.code, error.error.message],
    ['model', 'model_not_found', "The model 'deepseek-ai/DeepSeek-V3' does not exist"]);

  const completion = await client.chat.completions.create({
    model: 'echo', messages: [{ role: 'user', content: 'Say this' }],
  });
  assert.equal(completion.choices[0].message.content, 'Say this');
  const usage = completion.usage;
  assert.deepEqual([usage.prompt_tokens, usage.completion_tokens, usage.total_tokens], [2, 2, 4]);
  assert.match(completion._request_id, /^req_/);

  const asked = { model: 'echo', input: ['one', 'two'] };
  const packed = await client.embeddings.create(asked);
  const plain = await client.embeddings.create({ ...asked, encoding_format: 'float' });
  assert.deepEqual(packed.data.map((each) => each.embedding),
    plain.data.map((each) => each.embedding.map(Math.fround)));
  saw('other endpoints');
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'openai-'));
try {
  const files = await upload(folder);
  await listFiles(files);
  await contentOf(files[0]);
  const batches = [await complete(files[0]), await fail(), await cancel(), await createOnce(files[1])];
  await cancelTooLate(batches[0]);
  await listBatches(batches, files[1]);
  await remove(files[2]);
  await refusals(files[0]);
  await otherEndpoints();
} finally {
  fs.rmSync(folder, { recursive: true });
}
