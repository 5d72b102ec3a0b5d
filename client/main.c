/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <fcntl.h>
#include <string.h>

#include "client/complete.h"
#include "client/out.h"
#include "client/verb.h"

static void print_help(void)
{
	struct buf b = { 0 };

	buf_adds(&b, "Usage: awaitctl [OPTIONS] COMMAND ...\n\n");
	opts_wrap(
		&b,
		"Submits jobs to the daemon awaitd, waits for them, and shows what became of them.",
		0);
	buf_adds(&b, "\nCommands:\n");
	for (const struct verb *const *v = verbs; *v != NULL; v++)
		buf_addf(&b, "  %-10s %s\n", (*v)->name, (*v)->summary);
	buf_adds(&b, "\nOptions:\n");
	opts_help(&b, client_opts);
	buf_addc(&b, '\n');
	opts_wrap(&b,
		  "\"awaitctl COMMAND --help\" tells more. The socket is the one that --socket or "
		  "AWAITD_SOCKET "
		  "names, else the user's daemon's if there is one, else the system's.\n\n"
		  "Exit status: 0 done as asked, 1 a job did not succeed, 2 usage, 3 no daemon, 4 "
		  "the daemon refused, "
		  "124 a wait ran out of time. See awaitctl(1) for that of \"run worker\".",
		  0);
	out_buf(&b);
	buf_fini(&b);
}

/* Listed in the interface, and work of later versions. */
static bool is_later_command(const char *name)
{
	return strcmp(name, "schedule") == 0;
}

static int run_command(struct client *client, int argc, char **argv)
{
	const struct verb *verb;

	if (argc == 0)
		return out_fail(STATUS_USAGE, "usage",
				"a command is missing; try \"awaitctl --help\"");
	verb = verb_find(argv[0]);
	if (verb != NULL)
		return verb->run(client, verb, argc - 1, argv + 1);
	if (strcmp(argv[0], "__complete") == 0)
		return complete(client, argc - 1, argv + 1);
	if (is_later_command(argv[0]))
		return out_fail(STATUS_REFUSED, "unsupported",
				"%s is not supported by this version", argv[0]);
	return out_fail(STATUS_USAGE, "usage", "unknown command \"%s\"; try \"awaitctl --help\"",
			argv[0]);
}

static int run(struct client *client, int argc, char **argv)
{
	struct opts o = { .sets = { { client_opts, client } }, .stops_early = true };
	struct aw_err err = { 0 };
	int status = STATUS_OK;
	int r = opts_parse(&o, argc, argv, &err);

	out_init(client->is_json);
	if (r < 0)
		status =
			out_fail(STATUS_USAGE, "usage", "%s; try \"awaitctl --help\"", err.message);
	else if (o.wish == OPTS_HELP)
		print_help();
	else if (o.wish == OPTS_VERSION)
		verb_print_version();
	else
		status = run_command(client, o.n_args, argv);
	aw_err_fini(&err);
	return status;
}

/*
 * Started with one of them closed ("<&-"), the socket would become our standard
 * input.  What is put in its place can be neither read from nor written to, as
 * the case may be: whoever needs it says that it is closed.
 */
static void fill_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", (fd == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

int main(int argc, char **argv)
{
	struct client client = { 0 };
	int status;

	fill_standard_fds();
	status = run(&client, argc > 0 ? argc - 1 : 0, argv + 1);
	conn_fini(&client.conn);
	return out_finish(status);
}
