/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BENCH_TALK_UA_H
#define AOIDE_BENCH_TALK_UA_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Two plain phones over UDP, a caller and a callee, for one call after the other: just enough SIP to
 * get the audio of many calls going. Single thread, blocking, errors end the program.
 */
struct talk_phone {
	int fd;
	uint16_t port, server;
	const char *user, *password;
	unsigned cseq;
};

struct talk_call {
	char callid[64], from[128], to[256], target[256]; /* target: of the 200's Contact */
	uint16_t relay_caller, relay_callee;              /* where each side's audio goes */
	unsigned cseq;
};

void talk_open(struct talk_phone *phone, uint16_t server, const char *user, const char *password);
void talk_register(struct talk_phone *phone);

/* Sets a call up; false when it was refused or nothing came. Ports: of the two sides' audio. */
bool talk_call(struct talk_call *call, struct talk_phone *caller, struct talk_phone *callee,
	       const char *number, uint16_t caller_port, uint16_t callee_port, unsigned index);

/* BYE from the caller, and the callee's answer to the PBX's. */
bool talk_hangup(struct talk_call *call, struct talk_phone *caller, struct talk_phone *callee);

#endif
