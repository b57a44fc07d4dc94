// Runs a program to its end, or to the end of its time.
import { spawn } from 'node:child_process';

const groups = new Set();
const killGroup = (pid) => {
  try {
    process.kill(-pid, 'SIGKILL'); // a program and whatever it has started
  } catch {
    // it has gone already
  }
};
process.on('exit', () => groups.forEach(killGroup));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

/** {status, signal, timedOut, text}: never throws; a program that is not there has status 127. */
export function command(program, args, { cwd, env, seconds = 600 } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, detached: true,
      stdio: ['ignore', 'pipe', 'pipe'] });
    const pieces = [];
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child.pid);
    }, seconds * 1000);
    if (child.pid !== undefined) groups.add(child.pid);
    const end = (status, signal) => {
      clearTimeout(timer);
      groups.delete(child.pid);
      resolve({ status, signal, timedOut, text: Buffer.concat(pieces).toString() });
    };
    child.stdout.on('data', (piece) => pieces.push(piece));
    child.stderr.on('data', (piece) => pieces.push(piece));
    child.on('error', (error) => {
      pieces.push(Buffer.from(String(error)));
      end(127, null);
    });
    child.on('close', end);
  });
}
