// Says which tests passed only when they were tried again, and why the first try failed (docs/decisions/0113).
import { basename } from 'node:path';

import type { Reporter, TestCase } from 'vitest/node';

export class SecondTry implements Reporter {
  onTestCaseResult(test: TestCase): void {
    if (!test.diagnostic()?.flaky) return;
    const errors = test.result().errors ?? [];
    console.log(`second try: ${basename(test.module.moduleId)} > ${test.fullName}`);
    for (const error of errors) console.log(`  the first: ${(error.stack ?? error.message).slice(0, 4000)}`);
  }
}
