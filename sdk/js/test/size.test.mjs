// The whole client with both codecs and the outbox for browsers: at most 15 KiB minified and
// gzipped, and nothing of Node's in it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

test('at most 15 KiB minified and gzipped', async (t) => {
  const { outputFiles, metafile } = await build({ bundle: true, minify: true, format: 'esm',
    platform: 'browser', write: false, metafile: true,
    entryPoints: [fileURLToPath(new URL('../dist/index.js', import.meta.url))] });
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  t.diagnostic(`${outputFiles[0].contents.length} bytes minified, ${size} gzipped`);
  assert.ok(size <= 15 * 1024, `${size} bytes`);
  assert.deepEqual(Object.keys(metafile.inputs).filter((p) => /node_modules|\/node\//.test(p)), []);
});
