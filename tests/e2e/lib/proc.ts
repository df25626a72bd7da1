import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';

/** A program that a test started; it is ended by pid, whatever happens to the test. */
export class Proc {
  readonly child: ChildProcess;
  output = '';
  exitCode: number | null | undefined;
  private readonly closed: Promise<number | null>;
  private readonly listeners = new Set<(text: string) => void>();

  constructor(
    readonly name: string,
    command: string,
    args: readonly string[],
    options: SpawnOptions = {},
  ) {
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    all.add(this);
    const take = (data: Buffer): void => {
      const text = data.toString('utf8');
      this.output = (this.output + text).slice(-400_000);
      for (const listener of this.listeners) listener(text);
    };
    this.child.stdout?.on('data', take);
    this.child.stderr?.on('data', take);
    this.child.stdin?.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      const end = (code: number | null): void => {
        this.exitCode = code;
        all.delete(this);
        resolve(code);
      };
      this.child.once('error', (error) => {
        this.output += String(error);
        end(-1);
      });
      this.child.once('close', end);
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get isRunning(): boolean {
    return this.exitCode === undefined;
  }

  onOutput(listener: (text: string) => void): void {
    this.listeners.add(listener);
  }

  write(text: string): void {
    this.child.stdin?.write(text);
  }

  wait(timeoutMs = 30_000): Promise<number | null> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${this.name} still runs after ${timeoutMs} ms\n${this.output.slice(-3000)}`));
      }, timeoutMs);
      void this.closed.then((code) => {
        clearTimeout(timer);
        resolve(code);
      });
    });
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 8_000): Promise<void> {
    if (!this.isRunning) return;
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), graceMs);
    await this.closed;
    clearTimeout(timer);
  }
}

const all = new Set<Proc>();

process.once('exit', () => {
  for (const proc of all) proc.child.kill('SIGKILL');
});

/** Runs a program to its end. */
export async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { timeoutMs?: number } = {},
): Promise<{ code: number | null; output: string }> {
  const { timeoutMs, ...rest } = options;
  const proc = new Proc(command, command, args, rest);
  proc.child.stdin?.end();
  const code = await proc.wait(timeoutMs ?? 30_000);
  return { code, output: proc.output };
}
