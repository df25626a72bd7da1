export interface MockServer {
  readonly url: string;
  /** What it answers from; tests change it to make something happen. */
  readonly state: {
    readonly session: { permissions: Record<string, string>; must_change_password: boolean };
    saved: number;
    applied: number;
    changes: { entity: string; id: number; title: string; action: string; user: string; at: string }[];
    readonly tables: ReadonlyMap<string, { rows: Record<string, unknown>[] }>;
  };
  readonly publish: (topic: string, data: unknown) => void;
  readonly logout: () => void;
  readonly stop: () => void;
}
export function startMock(options?: { loggedIn?: boolean; port?: number }): Promise<MockServer>;
