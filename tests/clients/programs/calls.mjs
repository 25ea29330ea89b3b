// How a program that uses a client's package is driven, as calls.py says.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';

export async function serve(functions, describe) {
  for await (const line of createInterface({ input: process.stdin })) {
    const call = JSON.parse(line);
    functions[call.call](call.arguments)
      .then((result) => ({ result }))
      .catch((error) => ({ error: { class: error.constructor.name, message: error.message, ...describe(error) } }))
      .then((outcome) => process.stdout.write(JSON.stringify({ id: call.id, ...outcome }) + '\n'));
  }
}

export async function picture(item) {
  assert.notEqual(item.b64_json == null, item.url == null, `there should be one of b64_json and url: ${Object.keys(item)}`);
  const told = { guid: item.guid, through: item.url == null ? 'b64_json' : 'url' };
  if (item.url == null) return { ...content(Buffer.from(item.b64_json, 'base64')), ...told };
  const answer = await fetch(item.url);
  assert.equal(answer.status, 200);
  const found = content(Buffer.from(await answer.arrayBuffer()));
  return { ...found, ...told, url: item.url, content_type: answer.headers.get('content-type') };
}

export function content(data) {
  const magic = [['89504e470d0a1a0a', 'image/png'], ['ffd8ff', 'image/jpeg'], ['52494646', 'image/webp']];
  const found = magic.find(([start]) => Buffer.from(data).toString('hex', 0, 8).startsWith(start));
  assert.ok(found, `no picture: ${Buffer.from(data).toString('hex', 0, 16)}`);
  return { sha256: createHash('sha256').update(data).digest('hex'), media_type: found[1] };
}
