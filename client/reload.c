/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/out.h"
#include "client/verb.h"

/* Settings that the daemon cannot change while it runs, if it names any. */
static void print(const json_t *result)
{
	json_t *name;
	size_t i;

	json_array_foreach(json_object_get(result, "needs_restart"), i, name) {
		if (json_is_string(name))
			out_note("\"%s\" takes effect with the daemon's next start",
				 json_string_value(name));
	}
}

static int reload_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	int n_args;
	int status = verb_options(client, verb, NULL, 0, 0, argc, argv, &n_args);

	return status >= 0 ? status : client_show(client, "daemon.reload", NULL, print);
}

const struct verb reload_verb = {
	.name = "reload",
	.usage = "",
	.summary = "have the daemon read its configuration again",
	.help = "The daemon reads its configuration file again. Where that has an error, all "
		"stays as it is, and the "
		"error is printed.",
	.run = reload_run,
};
