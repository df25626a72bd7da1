/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_TRACE_H
#define AOIDE_SIP_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/re.h"

/* The last messages on the wire, in a ring of bounded number and bytes (edge.h). Call thread. */
struct trace;

int trace_alloc(struct trace **ret, size_t max_messages, size_t max_bytes);
void trace_add(struct trace *trace, bool tx, enum sip_transp tp, const struct sa *src,
	       const struct sa *dst, const uint8_t *pkt, size_t len);
int trace_text(const struct trace *trace, char **ret, const char *const *callids, size_t n);
int trace_pcap(const struct trace *trace, uint8_t **ret, size_t *len, const char *const *callids,
	       size_t n);

#endif
