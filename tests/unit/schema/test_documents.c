/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

/* Every label has both languages, every group and rule names something that is there. */
static void check_fields(const json_t *entity, const json_t *fields)
{
	json_t *f;
	size_t i;

	json_array_foreach(fields, i, f) {
		const json_t *rule = json_object_get(f, "visible_if");
		const char *group = str(f, "group");
		bool found = !group;
		json_t *g;
		size_t k;

		assert_non_null(str(json_object_get(f, "label"), "it"));
		assert_non_null(str(json_object_get(f, "label"), "en"));
		json_array_foreach(json_object_get(entity, "groups"), k, g)
			found = found || !strcmp(str(g, "key"), group);
		assert_true(found || !json_array_size(json_object_get(entity, "groups")));
		if (rule) {
			found = false;
			json_array_foreach(fields, k, g)
				found = found || !strcmp(str(g, "name"), str(rule, "field"));
			assert_true(found);
		}
		if (str(f, "ref"))
			assert_non_null(sch_find(str(f, "ref")));
	}
}

static void the_schema_document_is_whole(void **state)
{
	json_t *doc = sch_document(), *entity;
	size_t i;

	assert_non_null(doc);
	assert_int_equal(json_array_size(json_object_get(doc, "entities")), sch_n_entities);
	json_array_foreach(json_object_get(doc, "entities"), i, entity) {
		assert_ptr_equal(sch_find(str(entity, "rest")), sch_entities[i]);
		assert_true(sch_permission_index(str(entity, "permission")) >= 0);
		check_fields(entity, json_object_get(entity, "fields"));
	}
	json_decref(doc);
}

/* Every $ref of the document leads somewhere, and operation ids are unique. */
static void check_refs(const json_t *doc, const json_t *value, unsigned depth)
{
	const char *key, *ref = str(value, "$ref");
	json_t *item;
	size_t i;

	assert_true(depth < 40);
	if (ref) {
		assert_memory_equal(ref, "#/components/schemas/", 21);
		assert_non_null(json_object_get(
			json_object_get(json_object_get(doc, "components"), "schemas"), ref + 21));
	}
	if (json_is_array(value))
		json_array_foreach(value, i, item)
			check_refs(doc, item, depth + 1);
	else
		json_object_foreach((json_t *)value, key, item)
			check_refs(doc, item, depth + 1);
}

static void openapi_describes_every_entity_twice(void **state)
{
	json_t *doc = json_object(), *ids = json_object(), *path, *op;
	const char *name, *method;

	OK(sch_openapi(doc));
	check_refs(doc, doc, 0);
	json_object_foreach(json_object_get(doc, "paths"), name, path)
		json_object_foreach(path, method, op)
			if (strcmp(method, "parameters")) {
				assert_null(json_object_get(ids, str(op, "operationId")));
				OK(json_object_set_new(ids, str(op, "operationId"), json_true()));
			}
	path = json_object_get(doc, "paths");
	assert_non_null(json_object_get(path, "/rest/extension/{exten}"));
	assert_non_null(json_object_get(path, "/api/pbx/v2/accountTemplate/{id}"));
	assert_null(json_object_get(json_object_get(path, "/rest/sipSettings"), "delete"));
	json_decref(doc);
	json_decref(ids);
}

/* ------------------------------------------------------------------ CSV */

static json_t *import(struct sch_ctx *ctx, const char *entity, enum sch_import mode, const char *text)
{
	json_t *result = NULL;

	fixture_clear(ctx);
	OK(sch_csv_import(ctx, sch_find(entity), mode, text, strlen(text), &result));
	return result;
}

static int64_t count(struct sch_ctx *ctx, const char *entity)
{
	char sql[80];
	int64_t n = -1;

	(void)snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM \"%s\"", entity);
	OK(db_query_i64(&n, ctx->db, sql, DB_NO_ARGS));
	return n;
}

static void csv_is_imported_as_people_write_it(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	json_t *r, *row;
	int64_t id;

	r = import(ctx, "extension", SCH_IMPORT_ALL_OR_NOTHING,
		   "\xef\xbb\xbfInterno;Nome;Cognome;template;Livello di occupato\r\n"
		   "101;\"D'Arco; \"\"x\"\"\";Rossi;Default;3\r\n"
		   ";;;;\r\n"
		   "102;Anna;Bianchi;default;\r\n");
	assert_int_equal(num(r, "failed"), 1); /* quotes and semicolons are no part of names */
	assert_int_equal(count(ctx, "extension"), 0);
	assert_int_equal(num(json_array_get(json_object_get(r, "errors"), 0), "row"), 2);
	assert_string_equal(str(json_array_get(json_object_get(r, "errors"), 0), "field"),
			    "first_name");
	json_decref(r);

	r = import(ctx, "extension", SCH_IMPORT_VALID_ROWS,
		   "number,first_name,colour\n101,Ada,red\n");
	assert_int_equal(num(r, "created"), 0); /* a wrong header imports nothing */
	json_decref(r);

	r = import(ctx, "extension", SCH_IMPORT_VALID_ROWS,
		   "number,first_name,busy_level,enabled\n101,Ada,3,sì\n10x,Bad,,\n102,\"Anna\",,no\n");
	assert_int_equal(num(r, "created"), 2);
	assert_int_equal(num(r, "failed"), 1);
	assert_int_equal(num(json_array_get(json_object_get(r, "errors"), 0), "row"), 3);
	json_decref(r);

	r = import(ctx, "extension", SCH_IMPORT_ALL_OR_NOTHING, "number;first_name\n101;Grace\n");
	assert_int_equal(num(r, "updated"), 1);
	json_decref(r);
	OK(sch_resolve(ctx, sch_find("extension"), "101", &id));
	assert_int_equal(sch_resolve(ctx, sch_find("extension"), "1", &id), -ENOENT); /* an id only */
	assert_int_equal(sch_resolve_id(ctx, sch_find("extension"), "101", &id), -ENOENT);
	assert_int_equal(sch_resolve_id(ctx, sch_find("extension"), "1x", &id), -ENOENT);
	row = get(ctx, "extension", id);
	assert_string_equal(str(row, "first_name"), "Grace");
	assert_int_equal(num(row, "busy_level"), 3); /* columns that are not there stay */
	json_decref(row);

	r = import(ctx, "extension", SCH_IMPORT_PREVIEW, "number\n103\n104\n");
	assert_int_equal(num(r, "created"), 2);
	assert_int_equal(count(ctx, "extension"), 2);
	json_decref(r);

	/* What an Italian spreadsheet makes of it: empty rows before, VERO and FALSO, tabs. */
	r = import(ctx, "extension", SCH_IMPORT_ALL_OR_NOTHING,
		   "\r\n\r\nnumber\tenabled\r\n101\tFALSO\r\n102\tVERO\r\n");
	assert_int_equal(json_array_size(json_object_get(r, "errors")), 0);
	assert_int_equal(num(r, "updated"), 2);
	json_decref(r);
	OK(sch_resolve(ctx, sch_find("extension"), "101", &id));
	row = get(ctx, "extension", id);
	assert_true(json_is_false(json_object_get(row, "enabled")));
	json_decref(row);

	/* A row that is not UTF-8, and one whose text has the separator, harm nobody else. */
	r = import(ctx, "extension", SCH_IMPORT_VALID_ROWS,
		   "number,department\n105,Qualit\xe0\n106,Vendite, Nord\n107,\"Vendite, Nord\"\n108,x,\n");
	assert_int_equal(num(r, "created"), 2);
	assert_int_equal(num(r, "failed"), 2);
	assert_int_equal(num(json_array_get(json_object_get(r, "errors"), 0), "row"), 2);
	assert_string_equal(str(json_array_get(json_object_get(r, "errors"), 0), "code"), "malformed");
	assert_int_equal(num(json_array_get(json_object_get(r, "errors"), 1), "row"), 3);
	assert_string_equal(str(json_array_get(json_object_get(r, "errors"), 1), "code"),
			    "too_many_cells");
	json_decref(r);
	r = import(ctx, "extension", SCH_IMPORT_VALID_ROWS, "number,Qualit\xe0\n109,x\n");
	assert_int_equal(num(r, "created"), 0);
	assert_int_equal(num(r, "failed"), 1);
	json_decref(r);

	r = import(ctx, "account", SCH_IMPORT_ALL_OR_NOTHING,
		   "username,extension,acl_source_ip,audio_codecs\n"
		   "p1,101,192168001010,\"PCMA,G722\"\n");
	assert_int_equal(num(r, "created"), 1);
	json_decref(r);
	OK(sch_resolve(ctx, sch_find("account"), "1", &id));
	row = get(ctx, "account", id);
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "acl_source_ip"), 0)),
			    "192.168.1.10");
	assert_int_equal(json_array_size(json_object_get(row, "audio_codecs")), 2);
	json_decref(row);

	/* A title that nothing has is no id: extension 1 is not there, the one with id 1 is. */
	r = import(ctx, "account", SCH_IMPORT_VALID_ROWS, "username,extension\np7,1\np8,102\n");
	assert_int_equal(num(r, "created"), 1);
	assert_string_equal(str(json_array_get(json_object_get(r, "errors"), 0), "field"), "extension");
	assert_string_equal(str(json_array_get(json_object_get(r, "errors"), 0), "code"), "not_found");
	assert_int_equal(num(json_array_get(json_object_get(r, "errors"), 0), "row"), 2);
	json_decref(r);
	r = import(ctx, "extension", SCH_IMPORT_VALID_ROWS, "number,template\n110,1\n");
	assert_int_equal(num(r, "created"), 0);
	json_decref(r);
	fixture_free(ctx);
}

static void an_export_imports_to_the_same(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	struct sch_out a = { 0 }, b = { 0 };
	json_t *r;
	int64_t saved, applied, after;

	(void)make(ctx, "pickup_group", "{'name':'Vendite; Nord'}");
	(void)make(ctx, "extension",
		   "{'number':'101','first_name':'=SUM(1)','email':'a@b.it','busy_level':4,"
		   "'pickup_member_of':[1],'overflow_internal_busy':{'destination':"
		   "{'type':'external_number','value':'+3901'}},'service_pin':'1234'}");
	(void)make(ctx, "extension", "{'number':'007'}");
	OK(sch_csv_export(ctx, sch_find("extension"), &(struct sch_query){ 0 }, ';', true, false, &a));
	assert_memory_equal(a.text, "\xef\xbb\xbf", 3);
	assert_null(strstr(a.text, "1234"));
	OK(sch_revisions(ctx->db, ctx->tenant_id, &saved, &applied));
	r = import(ctx, "extension", SCH_IMPORT_ALL_OR_NOTHING, a.text);
	assert_int_equal(json_array_size(json_object_get(r, "errors")), 0);
	assert_int_equal(num(r, "updated"), 2);
	OK(sch_revisions(ctx->db, ctx->tenant_id, &after, &applied));
	assert_int_equal(after, saved);
	OK(sch_csv_export(ctx, sch_find("extension"), &(struct sch_query){ 0 }, ';', true, false, &b));
	assert_string_equal(a.text, b.text);
	sch_out_free(&a);
	OK(sch_csv_export(ctx, sch_find("extension"), &(struct sch_query){ 0 }, ',', false, true, &a));
	assert_non_null(strstr(a.text, "1234"));
	json_decref(r);
	sch_out_free(&a);
	sch_out_free(&b);
	fixture_free(ctx);
}

static void expect_same_again(struct sch_ctx *ctx, const char *entity, char separator, int rows)
{
	struct sch_out a = { 0 }, b = { 0 };
	json_t *r;

	OK(sch_csv_export(ctx, sch_find(entity), &(struct sch_query){ 0 }, separator, false, false, &a));
	r = import(ctx, entity, SCH_IMPORT_ALL_OR_NOTHING, a.text);
	assert_int_equal(json_array_size(json_object_get(r, "errors")), 0);
	assert_int_equal(num(r, "updated"), rows);
	assert_int_equal(num(r, "created"), 0);
	json_decref(r);
	OK(sch_csv_export(ctx, sch_find(entity), &(struct sch_query){ 0 }, separator, false, false, &b));
	assert_string_equal(a.text, b.text);
	sch_out_free(&a);
	sch_out_free(&b);
}

/* What comes with a new tenant and a new node too: predefined users and roles are left as they are. */
static void whatever_is_exported_imports_again(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	const int64_t levels[] = { ctx->tenant_id, 0 };

	(void)make(ctx, "extension", "{'number':'101'}");
	(void)make(ctx, "user", "{'username':'anna'}");
	(void)make(ctx, "account", "{'username':'a','password':'p'}");
	(void)make(ctx, "role", "{'description':'Desk','permissions':{'extensions':'read'}}");
	for (size_t level = 0; level < 2; level++) {
		ctx->tenant_id = levels[level];
		for (size_t i = 0; i < sch_n_entities; i++) {
			const struct sch_entity *e = sch_entities[i];
			struct sch_out text = { 0 };
			json_t *r;

			if (e->singleton || (!level) != (e->scope != SCH_PBX))
				continue;
			OK(sch_csv_export(ctx, e, &(struct sch_query){ 0 }, ',', false, false, &text));
			r = import(ctx, e->name, SCH_IMPORT_ALL_OR_NOTHING, text.text);
			if (json_array_size(json_object_get(r, "errors")))
				fail_msg("%s: %s", e->name, json_dumps(r, 0));
			assert_int_equal(num(r, "created"), 0);
			json_decref(r);
			sch_out_free(&text);
		}
	}
	ctx->tenant_id = levels[0];
	fixture_free(ctx);
}

static void a_predefined_role_that_was_changed_is_an_error_with_its_field(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	json_t *r = import(ctx, "role", SCH_IMPORT_VALID_ROWS,
			   "description,priority\nDesk,5\nTenant User,77\n");
	const json_t *error = json_array_get(json_object_get(r, "errors"), 0);

	assert_int_equal(json_array_size(json_object_get(r, "errors")), 1);
	assert_int_equal(num(r, "created"), 1);
	assert_int_equal(num(error, "row"), 3);
	assert_string_equal(str(error, "field"), "priority");
	assert_string_equal(str(error, "code"), "predefined");
	json_decref(r);
	fixture_free(ctx);
}

static void names_with_separators_survive(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	struct sch_out text = { 0 };

	/* A file of one column has no separator that could be guessed. */
	(void)make(ctx, "pickup_group", "{'name':'Vendite; Nord'}");
	(void)make(ctx, "pickup_group", "{'name':'Vendite, Sud'}");
	(void)make(ctx, "pickup_group", "{'name':'+SUM(A1)'}");
	expect_same_again(ctx, "pickup_group", ',', 3);
	expect_same_again(ctx, "pickup_group", ';', 3);

	(void)make(ctx, "extension",
		   "{'number':'101','pickup_member_of':[1,2,3],'mobile_number':'+39333',"
		   "'department':'+39,x'}");
	expect_same_again(ctx, "extension", ',', 1);
	expect_same_again(ctx, "extension", ';', 1);
	expect_same_again(ctx, "extension", '\t', 1);
	OK(sch_csv_export(ctx, sch_find("extension"), &(struct sch_query){ 0 }, ',', false, false, &text));
	assert_non_null(strstr(text.text, ",+39333,")); /* a number, no formula */
	assert_non_null(strstr(text.text, "\"'+39,x\""));
	sch_out_free(&text);
	fixture_free(ctx);
}

static void a_broken_file_is_refused_whole(void **state)
{
	static const char *const files[] = { "number\n\"101", "number\n101\n\"a\nb", "\"", "number\n\xff\xfe\n" };
	struct sch_ctx *ctx = fixture(*state);

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		json_t *r = import(ctx, "extension", SCH_IMPORT_ALL_OR_NOTHING, files[i]);

		assert_true(json_array_size(json_object_get(r, "errors")) > 0);
		assert_int_equal(count(ctx, "extension"), 0);
		json_decref(r);
	}
	fixture_free(ctx);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_schema_document_is_whole),
		cmocka_unit_test(openapi_describes_every_entity_twice),
		TESTDB_BOTH("CSV is imported as people write it, errors name their rows",
			    csv_is_imported_as_people_write_it),
		TESTDB_BOTH("an exported file imports to the same", an_export_imports_to_the_same),
		TESTDB_BOTH("whatever is exported imports again, predefined objects too",
			    whatever_is_exported_imports_again),
		TESTDB_BOTH("a predefined role that was changed is an error with row and field",
			    a_predefined_role_that_was_changed_is_an_error_with_its_field),
		TESTDB_BOTH("names with separators, quotes and signs survive",
			    names_with_separators_survive),
		TESTDB_BOTH("a broken file is refused whole", a_broken_file_is_refused_whole),
	};

	return testdb_run(tests);
}
