/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "schema/schema.h"
#include "web/coerce.h"
#include "web/repr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A JSON or form body on its way to an entity, and back as XML. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sch_entity *entity = sch_find("extension");
	struct web_text out = { 0 };
	json_t *body = NULL;
	char why[128];

	if (!size)
		return 0;
	if (data[0] & 1 ? web_form_parse(&body, (const char *)data + 1, size - 1, why, sizeof(why)) :
			  js_parse(&body, (const char *)data + 1, size - 1, why, sizeof(why)))
		return 0;
	if (json_is_object(body) && entity)
		web_coerce(body, entity);
	web_xml_print(&out, "result", body);
	assert(!out.failed && out.len);
	web_text_free(&out);
	json_decref(body);
	return 0;
}
