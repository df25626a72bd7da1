import { callSchema, registrationSchema, type Call, type LiveEvent, type Registration } from '@aoide/api';
import { parseEventData } from '@aoide/api';

/** The calls after an event; an event that is not understood changes nothing. */
export function applyCallEvent(calls: readonly Call[], event: LiveEvent): readonly Call[] {
  const call = parseEventData(callSchema, event.data);
  if (!call) return calls;
  const others = calls.filter((other) => other.linkedid !== call.linkedid);
  if (event.topic === 'call.ended') return others;
  const known = calls.findIndex((other) => other.linkedid === call.linkedid);
  return known < 0 ? [...calls, call] : calls.map((other, i) => (i === known ? call : other));
}

const gone: readonly string[] = ['registration.unregistered', 'registration.expired'];

/** The registrations after an event. One contact per account (BASE-31), so the account is the key. */
export function applyRegistrationEvent(
  registrations: readonly Registration[],
  event: LiveEvent,
): readonly Registration[] {
  const registration = parseEventData(registrationSchema, event.data);
  if (!registration) return registrations;
  const known = registrations.findIndex((other) => other.account_id === registration.account_id);
  if (gone.includes(event.topic)) return registrations.filter((_, i) => i !== known);
  return known < 0
    ? [...registrations, registration]
    : registrations.map((other, i) => (i === known ? registration : other));
}
