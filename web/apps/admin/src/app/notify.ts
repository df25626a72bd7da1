import { notifications } from '@mantine/notifications';

export function notifyDone(message: string): void {
  notifications.show({ message, color: 'green', autoClose: 4000 });
}

/** Stays longer: somebody must read it. */
export function notifyError(message: string): void {
  notifications.show({ message, color: 'red', autoClose: 12_000, role: 'alert' });
}
