/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/methods/methods.h"

#include <assert.h>
#include <string.h>

#include "proto/err.h"
#include "proto/jobkeys.h"
#include "proto/limits.h"
#include "proto/schemas.h"
#include "proto/xalloc.h"

/*
 * rpc.discover: the OpenRPC document.  Names, parameters and rights come from
 * the table of methods, so that they cannot be wrong; shapes from the schemas
 * in proto/schemas, whose definitions become the document's components.
 */

#define OPENRPC_VERSION "1.3.2"
#define DEFINITIONS "#/definitions/"
#define COMPONENTS "#/components/schemas/"

static void set(json_t *object, const char *name, json_t *value)
{
	(void)json_object_set_new(object, name, xjson(value));
}

static void add(json_t *list, json_t *value)
{
	(void)json_array_append_new(list, xjson(value));
}

/* ---- schemas ---- */

/* The schemas' files, parsed; all of them are ours, and the unit test has parsed each. */
static json_t *schema_file(const char *name)
{
	for (const struct proto_schema *s = proto_schemas; s->name; s++)
		if (!strcmp(s->name, name))
			return xjson(json_loads(s->text, 0, NULL));
	assert(0);
	return NULL;
}

static json_t *ref(const char *component)
{
	return json_pack("{s:s+}", "$ref", COMPONENTS, component);
}

/* In @value and all below it, references into files become references into the components. */
static void point_to_components(json_t *value)
{
	const char *name;
	json_t *member;
	void *next;
	size_t i;

	if (json_is_array(value))
		json_array_foreach(value, i, member)
			point_to_components(member);
	if (!json_is_object(value))
		return;
	json_object_foreach_safe(value, next, name, member)
	{
		const char *text = json_string_value(member);
		const char *at = text && !strcmp(name, "$ref") ? strstr(text, DEFINITIONS) : NULL;

		if (at)
			set(value, name, json_pack("s+", COMPONENTS, at + sizeof(DEFINITIONS) - 1));
		else
			point_to_components(member);
	}
}

static json_t *all_definitions(void)
{
	json_t *all = xjson(json_object());

	for (const struct proto_schema *s = proto_schemas; s->name; s++) {
		json_t *file = schema_file(s->name);

		(void)json_object_update(all, json_object_get(file, "definitions"));
		json_decref(file);
	}
	point_to_components(all);
	return all;
}

/* ---- parameters ---- */

static json_t *integer_schema(const struct rpc_param *p)
{
	json_t *o = json_pack("{s:s}", "type", "integer");

	if (p->min || p->max) {
		set(o, "minimum", json_integer(p->min));
		set(o, "maximum", json_integer(p->max));
	}
	return o;
}

static json_t *typed(const struct rpc_param *p)
{
	switch (p->type) {
	case RPC_OBJECT:
		return json_pack("{s:s}", "type", "object");
	case RPC_ARRAY:
		return json_pack("{s:s}", "type", "array");
	case RPC_STRING:
		return json_pack("{s:s}", "type", "string");
	case RPC_INTEGER:
		return integer_schema(p);
	case RPC_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case RPC_DURATION:
		return ref("Duration");
	case RPC_IDS:
		return json_pack("{s:s, s:i, s:i, s:o}", "type", "array", "minItems", 1, "maxItems",
				 PROTO_IDS_MAX, "items", ref("JobId"));
	case RPC_ONE_OR_LIST:
		return json_pack("{s:[{s:s}, {s:s, s:i, s:{s:s}}]}", "anyOf", "type", "string",
				 "type", "array", "minItems", 1, "items", "type", "string");
	case RPC_ANY:
		return json_object();
	case N_RPC_TYPES:
		break;
	}
	assert(0);
	return NULL;
}

static json_t *nullable(json_t *schema)
{
	return json_pack("{s:[o, {s:s}]}", "anyOf", schema, "type", "null");
}

/* @closer: the schemas of this method's parameters that say more than the type; NULL = none. */
static json_t *param(const struct rpc_param *p, const json_t *closer)
{
	json_t *schema = json_object_get(closer, p->name);

	schema = schema ? json_incref(schema) : typed(p);
	if (p->flags & RPC_NULLABLE)
		schema = nullable(schema);
	return json_pack("{s:s, s:s, s:b, s:o}", "name", p->name, "description", p->help,
			 "required", (p->flags & RPC_REQUIRED) != 0, "schema", xjson(schema));
}

/* The keys of a job document, of whatever kind; which of them go together is in its schema. */
static json_t *document_params(void)
{
	json_t *params = xjson(json_array());

	for (size_t i = 0; i < n_jobkeys; i++) {
		bool is_kind = !strcmp(jobkeys[i].name, "kind");

		if (!(jobkeys[i].flags & JK_PART))
			add(params, json_pack("{s:s, s:s, s:b, s:o}", "name", jobkeys[i].name,
					      "description", jobkeys[i].help, "required", is_kind,
					      "schema", is_kind ? ref("Kind") : json_object()));
	}
	return params;
}

static json_t *params_of(const struct rpc_method *m, const json_t *closer)
{
	json_t *params;

	if (m->flags & RPC_OPEN_PARAMS)
		return document_params();
	params = xjson(json_array());
	for (const struct rpc_param *p = m->params; p && p->name; p++)
		add(params, param(p, closer));
	return params;
}

/* ---- methods ---- */

static const char *who_may(const struct rpc_method *m)
{
	if (m->flags & RPC_ROOT_OR_SELF)
		return "root and the daemon's own user";
	if (m->flags & RPC_ADMINS)
		return "root, the daemon's own user, and administrators";
	return "everybody, on their own jobs";
}

static json_t *method(const struct rpc_method *m, const json_t *closer, const json_t *results)
{
	json_t *o = json_pack(
		"{s:s, s:s, s:s, s:o, s:s}", "name", m->name, "summary", m->summary,
		"paramStructure", "by-name", "params",
		params_of(m, json_object_get(json_object_get(closer, m->name), "properties")),
		"x-who-may", who_may(m));
	json_t *result = json_object_get(results, m->name);

	if (m->flags & RPC_OPEN_PARAMS)
		set(o, "x-params-schema", ref("JobDocument"));
	set(o, "result",
	    json_pack("{s:s, s:o}", "name", "result", "schema",
		      result ? json_incref(result) : json_object()));
	return o;
}

static json_t *methods(void)
{
	json_t *list = xjson(json_array());
	json_t *params = schema_file("params"), *results = schema_file("results");

	point_to_components(params);
	point_to_components(results);
	for (size_t i = 0; i < n_rpc_methods; i++)
		add(list, method(rpc_methods[i], json_object_get(params, "properties"),
				 json_object_get(results, "properties")));
	json_decref(params);
	json_decref(results);
	return list;
}

/* Those that a request can meet, each by its word. */
static json_t *errors(void)
{
	json_t *all = xjson(json_object());

	for (int code = 0; code < N_AW_CODES; code++) {
		const char *word = aw_code_word((enum aw_code)code);
		int number = aw_code_rpc((enum aw_code)code);

		if (number)
			set(all, word,
			    json_pack("{s:i, s:s, s:{s:s}}", "code", number, "message", word,
				      "data", "code", word));
	}
	return all;
}

/* What the daemon sends by itself, for which OpenRPC has no words of its own. */
static json_t *notifications(void)
{
	return json_pack("[{s:s, s:s, s:o}, {s:s, s:s, s:o}]", "name", "event", "summary",
			 "what happens to jobs, after events.subscribe", "x-params-schema",
			 ref("Event"), "name", "job.output", "summary",
			 "what a job writes, while job.output follows it", "x-params-schema",
			 ref("OutputNote"));
}

static struct rpc_done discover(struct rpc_call *call, json_t *params)
{
	(void)params;
	return rpc_reply(
		call, xjson(json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s}}, s:o, s:o, s:{s:o, s:o}}",
				      "openrpc", OPENRPC_VERSION, "info", "title", "awaitd",
				      "version", PACKAGE_VERSION, "description",
				      "JSON-RPC 2.0 over a Unix socket, one line each; see "
				      "awaitd-protocol(7).",
				      "license", "name", "MIT", "methods", methods(),
				      "x-notifications", notifications(), "components", "schemas",
				      all_definitions(), "errors", errors())));
}

const struct rpc_method method_rpc_discover = {
	.name = "rpc.discover",
	.summary = "this list of methods, as an OpenRPC document",
	.flags = RPC_WHILE_STOPPING,
	.handler = discover,
};
