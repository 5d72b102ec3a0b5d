/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "client/out.h"
#include "client/verb.h"

static int read_params(const char *text, json_t **ret, struct aw_err *err)
{
	json_error_t where;

	*ret = strcmp(text, "-") == 0 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &where)
				      : json_loads(text, JSON_REJECT_DUPLICATES, &where);
	if (*ret == NULL)
		return aw_fail(err, AW_PARAMS,
			       "the parameters are not JSON: line %d, column %d: %s", where.line,
			       where.column, where.text);
	return 0;
}

static int call(struct client *client, const char *method, json_t *params)
{
	struct reply reply = { 0 };
	int status = client_call(client, CALL_ONCE, method, params, &reply);

	if (status == STATUS_OK)
		out_line(reply.text, reply.text_len);
	reply_fini(&reply);
	return status;
}

static int call_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct aw_err err = { 0 };
	json_t *params = NULL;
	int n_args;
	int status = verb_options(client, verb, NULL, 1, 2, argc, argv, &n_args);

	if (status >= 0)
		return status;
	if (n_args == 2 && read_params(argv[1], &params, &err) < 0)
		status = verb_usage_error(verb, NULL, &err);
	else
		status = call(client, argv[0], params);
	aw_err_fini(&err);
	return status;
}

const struct verb call_verb = {
	.name = "call",
	.usage = "METHOD [PARAMETERS|-]",
	.summary = "call any method of the protocol",
	.help = "Calls a method with parameters in JSON (-: from standard input) and prints its "
		"result on one line.",
	.run = call_run,
};
