// A program that uses the AI SDK, with the provider of OpenAI and with that of compatible servers.
import { readFileSync } from 'node:fs';
import { generateImage } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { content, serve } from './calls.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

const models = {
  openai: ({ base_url, api_key }, id) => createOpenAI({ baseURL: base_url, apiKey: api_key }).image(id),
  compatible: ({ base_url, api_key }, id) =>
    createOpenAICompatible({ name: 'pixyproxy', baseURL: base_url, apiKey: api_key }).imageModel(id),
};

async function generate({ connection, provider, model, prompt, n, size, extra_headers, image, mask, ...options }) {
  const pictures = image === undefined ? [] : [image].flat().map((path) => readFileSync(path));
  const answer = await generateImage({
    model: models[provider](connection, model),
    prompt: pictures.length ? { text: prompt, images: pictures, ...(mask ? { mask: readFileSync(mask) } : {}) } : prompt,
    n,
    size,
    headers: extra_headers,
    ...(connection.max_retries === undefined ? {} : { maxRetries: connection.max_retries }),
    providerOptions: { openai: options, pixyproxy: options },
  });
  return {
    pictures: answer.images.map((image) => ({ ...content(image.uint8Array), said: image.mediaType })),
    usage: answer.usage,
  };
}

await serve({ generate, edit: generate }, (error) => {
  // With retries, the last error is inside of the one that is thrown.
  const last = error.lastError ?? error;
  const { message, code, param, type } = last.data?.error ?? {};
  // Its own reading of the body leaves out what it does not know.
  const maybe_billed = last.data?.error && JSON.parse(last.responseBody).error.maybe_billed;
  return { class: last.name, status: last.statusCode, code, param, type, maybe_billed, ...(message ? { message } : {}) };
});
