// A copy of the source tree in a folder of its own, with builds of its own: where bugs are planted,
// so that nothing of them can stay behind in the tree that people work in.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { command } from './command.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');

/** As tools/run-tests sets the builds of the same names up. A planted bug may leave a variable
 * unused: warnings are no errors here. */
const setups = {
  build: { args: [], env: {} },
  'build-tsan': {
    args: ['-Dhot_asserts=true', '-Db_sanitize=thread', '-Db_lundef=false',
      '-Dbuildtype=debugoptimized'],
    env: { CC: 'clang' },
  },
};

/** The files of the tree with their bytes: as they lie there, or as they were committed. */
function* files(committed) {
  const git = (...args) => execFileSync('git', ['-C', root, ...args],
    { maxBuffer: 256 * 1024 * 1024 });
  if (committed) {
    const names = git('ls-tree', '-r', '-z', '--name-only', 'HEAD').toString().split('\0');
    for (const name of names.filter(Boolean)) yield [name, git('show', `HEAD:${name}`)];
    return;
  }
  const listed = git('ls-files', '-z', '--cached', '--others', '--exclude-standard').toString();
  for (const name of new Set(listed.split('\0').filter(Boolean))) {
    const from = path.join(root, name);
    if (fs.existsSync(from)) yield [name, fs.readFileSync(from)];
  }
}

/** Text with one exact piece replaced. Anything but one place is an error: the table must be kept
 * true. */
export function replaceOnce(text, find, replace) {
  const count = text.split(find).length - 1;
  if (count !== 1) throw new Error(`${count} places instead of one: ${JSON.stringify(find)}`);
  if (find === replace) throw new Error(`changes nothing: ${JSON.stringify(find)}`);
  return text.replace(find, () => replace);
}

/** What a mutant changes, as [{file, find, replace}]. */
export function editsOf(mutant) {
  return (mutant.edits ?? [mutant]).map((edit) => ({ file: edit.file ?? mutant.file, ...edit }));
}

/** The changed files of a mutant over the tree below `dir`: Map of name to text. */
export function mutate(dir, mutant) {
  const changed = new Map();
  for (const { file, find, replace } of editsOf(mutant)) {
    const text = changed.get(file) ?? fs.readFileSync(path.join(dir, file), 'utf8');
    try {
      changed.set(file, replaceOnce(text, find, replace));
    } catch (error) {
      throw new Error(`${mutant.name}: ${file}: ${error.message}`);
    }
  }
  return changed;
}

export class Tree {
  #jobs;
  #tests = new Map();
  #ready = new Set();

  constructor(dir, jobs) {
    this.dir = dir;
    this.#jobs = jobs;
  }

  /** Copies the sources; a file that is there already and the same keeps its time. */
  fill(committed) {
    for (const [name, bytes] of files(committed)) {
      const to = path.join(this.dir, name);
      fs.mkdirSync(path.dirname(to), { recursive: true });
      if (!fs.existsSync(to) || !fs.readFileSync(to).equals(bytes)) fs.writeFileSync(to, bytes);
      if (name.startsWith('test/e2e/install')) fs.chmodSync(to, 0o755);
    }
    const modules = path.join(this.dir, 'test/e2e/node_modules');
    fs.rmSync(modules, { recursive: true, force: true });
    fs.symlinkSync(path.join(root, 'test/e2e/node_modules'), modules);
  }

  path(...parts) {
    return path.join(this.dir, ...parts);
  }

  /** Builds targets of a build folder; null, or what went wrong. */
  async build(folder, targets) {
    if (!this.#ready.has(folder)) {
      if (!fs.existsSync(this.path(folder, 'build.ninja'))) {
        const { args, env } = setups[folder];
        const done = await command('meson', ['setup', folder, '-Dwerror=false', ...args],
          { cwd: this.dir, env });
        if (done.status !== 0) return done.text;
      }
      this.#ready.add(folder);
    }
    const done = await command('ninja', ['-C', folder, '--quiet', '-j', String(this.#jobs),
      ...targets], { cwd: this.dir, seconds: 1200 });
    return done.status === 0 ? null : done.text || 'the build took too long';
  }

  /** A test of meson's by its name, as {command, target}. */
  async test(folder, name) {
    if (!this.#tests.has(folder)) {
      const problem = await this.build(folder, ['build.ninja']);
      if (problem !== null) throw new Error(problem);
      const listed = await command('meson', ['introspect', '--tests', folder], { cwd: this.dir });
      this.#tests.set(folder, JSON.parse(listed.text));
    }
    const found = this.#tests.get(folder).find((test) => test.name === name);
    if (found === undefined) throw new Error(`no test ${name} in ${folder}`);
    return { command: found.cmd, env: found.env,
      target: path.relative(this.path(folder), found.cmd[0]) };
  }

  /** Applies a mutant, calls, and takes it back whatever happens. */
  async with(mutant, call) {
    const changed = mutate(this.dir, mutant);
    const before = new Map([...changed.keys()].map((f) => [f, fs.readFileSync(this.path(f))]));
    try {
      for (const [file, text] of changed) fs.writeFileSync(this.path(file), text);
      return await call();
    } finally {
      for (const [file, bytes] of before) fs.writeFileSync(this.path(file), bytes);
    }
  }
}
