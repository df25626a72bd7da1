/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "call/cdr.h"
#include "db/journal_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read back from files after a crash: packed call records and the journal around them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cdr cdr;
	static uint8_t buf[CDR_RECORD_MAX_BYTES];
	struct journal_record record;
	size_t offset = 0, damaged = 0;

	/* What was understood can be packed again. */
	if (!cdr_unpack(&cdr, data, size) && cdr_pack(&cdr, buf, sizeof(buf)) < 0)
		abort();

	while (journal_parse(&record, data, size, &offset, 0, true, &damaged))
		if (record.data < data || record.data + record.len > data + size)
			abort();
	if (offset > size || damaged > size)
		abort();

	return 0;
}
