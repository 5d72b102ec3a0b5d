/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/base/stdfds.h"
#include "daemon/daemon.h"
#include "daemon/log.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	EXIT_USAGE = 2,
};

enum option_id {
	OPT_USER = 256,
	OPT_SYSTEM,
	OPT_CONFIG,
	OPT_SOCKET,
	OPT_STATE_DIR,
	OPT_LOG_LEVEL,
	OPT_CHECK,
	OPT_CHECK_CONFIG,
	OPT_INIT,
};

static const struct option long_options[] = {
	{ "user", no_argument, NULL, OPT_USER },
	{ "system", no_argument, NULL, OPT_SYSTEM },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
	{ "init", no_argument, NULL, OPT_INIT },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

static const char usage[] =
	"Usage: awaitd [OPTION]...\n"
	"Run jobs (fetches, timers, workers) and keep them across restarts.\n"
	"\n"
	"      --user             run as a user's own daemon (default, unless root)\n"
	"      --system           run as the system's daemon (default for root)\n"
	"      --config FILE      read this configuration\n"
	"      --socket PATH      listen here\n"
	"      --state-dir DIR    keep the jobs here\n"
	"      --log-level LEVEL  err, warning, notice, info or debug\n"
	"      --check            examine the stored jobs, report and exit\n"
	"      --check-config     read the configuration, report and exit\n"
	"      --init             make a new store where a missing one is suspicious\n"
	"  -h, --help             show this text\n"
	"  -V, --version          show the version\n"
	"\n"
	"It stays in the foreground. Talk to it with awaitctl(1). See awaitd(8).\n";

static int refuse(const char *why)
{
	(void)fprintf(stderr, "awaitd: %s\n", why);
	return -1;
}

static int take_option(struct daemon_options *o, int id)
{
	switch (id) {
	case OPT_USER:
	case OPT_SYSTEM:
		if (o->conf.scope && o->conf.scope != (id == OPT_USER ? 1 : 2))
			return refuse("--user and --system exclude each other");
		o->conf.scope = id == OPT_USER ? 1 : 2;
		break;
	case OPT_CONFIG:
		o->conf.config = optarg;
		break;
	case OPT_SOCKET:
		o->conf.socket = optarg;
		break;
	case OPT_STATE_DIR:
		o->conf.state_dir = optarg;
		break;
	case OPT_LOG_LEVEL:
		if (log_level_parse(optarg) < 0)
			return refuse("--log-level takes err, warning, notice, info or debug");
		o->conf.log_level = optarg;
		break;
	case OPT_CHECK:
		o->is_check = true;
		break;
	case OPT_CHECK_CONFIG:
		o->is_check_config = true;
		break;
	case OPT_INIT:
		o->is_init = true;
		break;
	case 'h':
		(void)fputs(usage, stdout);
		exit(EXIT_SUCCESS);
	case 'V':
		(void)printf("awaitd %s\n", PACKAGE_VERSION);
		exit(EXIT_SUCCESS);
	default:
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct daemon_options options = { 0 };
	int id;

	if (stdfds_fill() < 0)
		return EXIT_FAILURE;
	while ((id = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		if (take_option(&options, id) < 0) {
			(void)fputs("Try 'awaitd --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "awaitd: unexpected argument '%s'\nTry 'awaitd --help'.\n",
			      argv[optind]);
		return EXIT_USAGE;
	}
	return daemon_main(&options);
}
