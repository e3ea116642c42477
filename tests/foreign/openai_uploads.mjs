/*
 * A large file in parts with the openai package, sent in an order of its own. It takes the server and the key from
 * OPENAI_BASE_URL and OPENAI_API_KEY, and ends with a stack trace at the first thing that is not as promised.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';

const CONTENT = Buffer.from(Array.from({ length: 100 }, (_, i) => JSON.stringify({
  custom_id: `request-${i + 1}`,
  method: 'POST',
  url: '/v1/chat/completions',
  body: { model: 'echo', messages: [{ role: 'user', content: `row ${i + 1}` }] },
}) + '\n').join(''));
const MD5 = createHash('md5').update(CONTENT).digest('hex');

const client = new OpenAI();

async function pending(bytes) {
  const upload = await client.uploads.create({
    bytes, filename: 'big.jsonl', mime_type: 'application/jsonl', purpose: 'batch',
  });
  assert.deepEqual([upload.object, upload.status, upload.bytes], ['upload', 'pending', bytes]);
  assert.deepEqual([upload.filename, upload.purpose, upload.file ?? null], ['big.jsonl', 'batch', null]);
  assert.equal(upload.expires_at - upload.created_at, 3600);
  return upload;
}

async function part(upload, data) {
  const sent = await client.uploads.parts.create(upload.id, { data: await toFile(data, 'part') });
  assert.deepEqual([sent.object, sent.upload_id], ['upload.part', upload.id]);
  return sent.id;
}

async function completed() {
  const upload = await pending(CONTENT.length);
  const third = await part(upload, CONTENT.subarray(9000));
  const [first, second] = await Promise.all([part(upload, CONTENT.subarray(0, 4000)),
    part(upload, CONTENT.subarray(4000, 9000))]);

  const inOrder = [first, second, third];
  await assert.rejects(client.uploads.complete(upload.id, { part_ids: inOrder, md5: '0'.repeat(32) }),
    OpenAI.BadRequestError);
  await assert.rejects(client.uploads.complete(upload.id, { part_ids: [first, second] }), OpenAI.BadRequestError);
  const { status, file } = await client.uploads.complete(upload.id, { part_ids: inOrder, md5: MD5 });
  assert.deepEqual([status, file.object, file.bytes], ['completed', 'file', CONTENT.length]);
  assert.deepEqual(Buffer.from(await (await client.files.content(file.id)).arrayBuffer()), CONTENT);
  await assert.rejects(part(upload, CONTENT), OpenAI.BadRequestError);
  return file;
}

async function cancelled() {
  const upload = await pending(10);

  assert.equal((await client.uploads.cancel(upload.id)).status, 'cancelled');
  await assert.rejects(part(upload, Buffer.from('0123456789')), OpenAI.BadRequestError);
  await assert.rejects(client.uploads.cancel('upload_none'), OpenAI.NotFoundError);
}

async function checkBatch(file) {
  let batch = await client.batches.create({
    input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h',
  });
  while (!['completed', 'failed'].includes(batch.status)) {
    await sleep(20);
    batch = await client.batches.retrieve(batch.id);
  }
  assert.deepEqual([batch.status, batch.request_counts.completed], ['completed', 100]);
}

await checkBatch(await completed());
await cancelled();
