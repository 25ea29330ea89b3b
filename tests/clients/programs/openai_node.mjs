// A program that uses the package `openai` for Node.
import { createReadStream, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { picture, serve } from './calls.mjs';

const FIELDS = ['created', 'size', 'quality', 'background', 'output_format', 'model', 'errors'];
const EVENT_FIELDS = ['type', 'partial_image_index', 'created_at', 'size', 'quality', 'background', 'output_format', 'usage'];

const make = ({ base_url, api_key, max_retries, timeout }) =>
  new OpenAI({
    baseURL: base_url,
    apiKey: api_key,
    ...(max_retries === undefined ? {} : { maxRetries: max_retries }),
    ...(timeout === undefined ? {} : { timeout: timeout * 1000 }),
  });

const pick = (names, object) => Object.fromEntries(names.map((name) => [name, object[name] ?? null]));

// One file as a stream, which goes out chunked; several as buffers, the second without a name.
async function files({ image, mask, ...rest }) {
  const opened = (path, number) =>
    number === 1 ? toFile(readFileSync(path)) : toFile(readFileSync(path), basename(path), { type: 'image/png' });
  const pictures = typeof image === 'string' ? createReadStream(image) : await Promise.all(image.map(opened));
  return { image: pictures, ...(mask ? { mask: await opened(mask, 0) } : {}), ...rest };
}

async function answer(promise) {
  const body = await promise;
  return {
    pictures: await Promise.all(body.data.map(picture)),
    usage: body.usage ?? null,
    request_id: body._request_id,
    ...pick(FIELDS, body),
  };
}

async function events(promise) {
  const seen = [];
  for await (const event of await promise) seen.push({ ...(await picture(event)), ...pick(EVENT_FIELDS, event) });
  return seen;
}

const functions = {
  generate: ({ connection, extra_headers, ...body }) => answer(make(connection).images.generate(body, { headers: extra_headers })),
  edit: async ({ connection, ...body }) => answer(make(connection).images.edit(await files(body))),
  stream: ({ connection, extra_headers, ...body }) =>
    events(make(connection).images.generate({ ...body, stream: true }, { headers: extra_headers })),
  stream_edit: async ({ connection, ...body }) => events(make(connection).images.edit({ ...(await files(body)), stream: true })),
  async models({ connection }) {
    const ids = [];
    for await (const model of make(connection).models.list()) ids.push(model.id);
    return ids;
  },
  model: async ({ connection, name }) => (await make(connection).models.retrieve(name)).id,
};

await serve(functions, (error) => ({
  status: error.status,
  code: error.code,
  param: error.param,
  type: error.type,
  request_id: error.requestID,
  ...(error.error?.message ? { message: error.error.message, maybe_billed: error.error.maybe_billed } : {}),
}));
