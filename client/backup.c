/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/jobargs.h"
#include "client/out.h"
#include "client/verb.h"
#include "proto/xalloc.h"

#include <errno.h>
#include <string.h>

struct backup_args {
	bool overwrite;
};

static const struct opt backup_opts[] = {
	{ .name = "overwrite",
	  .type = OPT_FLAG,
	  .help = "replace a file that is there",
	  .offset = offsetof(struct backup_args, overwrite) },
	{ 0 },
};

static int backup_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct backup_args args = { 0 };
	cleanup_free char *path = NULL;
	json_t *params;
	int n_args;
	int status = verb_options(client, verb, &args, 1, 1, argc, argv, &n_args);

	if (status >= 0)
		return status;
	path = path_from_here(argv[0]);
	if (path == NULL)
		return out_fail(STATUS_USAGE, "usage", "the current directory has no name: %s",
				strerror(errno));
	params = json_pack("{s:s, s:b}", "path", path, "overwrite", args.overwrite);
	if (params == NULL)
		return out_fail(STATUS_USAGE, "usage", "the file's name is not valid UTF-8");
	return client_show(client, "daemon.backup", params, NULL);
}

const struct verb backup_verb = {
	.name = "backup",
	.usage = "[--overwrite] FILE",
	.summary = "write a copy of all stored jobs to FILE",
	.help = "Has the daemon write a copy of its store while it runs: all jobs as they are when "
		"the copy is done, without the output that is kept of them. FILE appears when the "
		"copy is whole and on disk. The daemon writes it, so its user has to be able to. "
		"Only root and that user may ask for it. awaitd(8) tells how to go back to a copy.",
	.opts = backup_opts,
	.run = backup_run,
};
