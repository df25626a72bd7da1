/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_LOG_PRIV_H
#define AOIDE_BASE_LOG_PRIV_H

/* What log lines of a thread, or of the fiber that runs on it, are about. */
struct log_context {
	char tenant[24];
	char call[48];
};

/* Makes context the one of this thread; NULL: the thread's own. Returns the one before. */
struct log_context *log_context_swap(struct log_context *context);

#endif
