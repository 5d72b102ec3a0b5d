/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/daemon.h"

#include "daemon/base/now.h"
#include "daemon/co/await.h"
#include "daemon/co/loop.h"
#include "daemon/job/alive.h"
#include "daemon/job/engine.h"
#include "daemon/job/history.h"
#include "daemon/job/hook.h"
#include "daemon/job/jobdir.h"
#include "daemon/job/users.h"
#include "daemon/kinds/proc.h"
#include "daemon/kinds/workenv.h"
#include "daemon/kinds/xfer.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/rpc/admins.h"
#include "daemon/rpc/server.h"
#include "daemon/store/store.h"
#include "proto/jsonmem.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	EXIT_DAMAGED = 65,
	EXIT_IO = 74,
	EXIT_IN_USE = 75,
	EXIT_CONFIG = 78,
};

/* What a stop was asked for first; a drain may become a stop at once, never the reverse. */
static bool is_stopping, is_draining;

static void print_line(const char *line)
{
	(void)printf("%s\n", line);
}

static void log_from_store(int priority, const char *message)
{
	log_at(priority, "%s", message);
}

static int fail(int status, struct aw_err *err)
{
	log_error("%s", err->message);
	notify_status(err->message);
	/* The statuses after which the units do not start us again by themselves. */
	if (status == EXIT_DAMAGED || status == EXIT_IN_USE || status == EXIT_CONFIG)
		server_turn_away(err->message);
	aw_err_fini(err);
	return status;
}

/*
 * The store cannot promise anything any more: what it did not answer is
 * neither done nor undone for those who asked.  Leave at once, so that every
 * connection closes without an answer; the supervisor ends the workers when
 * our end of its socket closes.
 */
static void on_store_fatal(int exit_status, const char *message)
{
	log_error("%s", message);
	notify_status(message);
	log_flush();
	_exit(exit_status);
}

/* What the manager shows of us while nothing else happens. */
static const char *status_now(void)
{
	if (is_draining)
		return store_is_degraded(engine_store())
			       ? "stopping when nothing runs any more; little space is left on the "
				 "disk of the state directory: an end may have to wait for space. "
				 "Make some, or stop at once: awaitctl shutdown"
			       : "stopping when nothing runs any more";
	if (is_stopping)
		return "stopping";
	return store_is_degraded(engine_store())
		       ? "degraded: storage_full: little space is left on the disk of the state "
			 "directory; no new jobs are taken"
		       : "running";
}

static void on_degraded(bool is_degraded)
{
	if (is_stopping && !is_draining)
		return;
	if (is_draining && is_degraded)
		log_warning("%s", status_now());
	notify_status(status_now());
}

static void on_stopped(void)
{
	notify_stopping();
	loop_stop();
}

void daemon_shutdown(bool drain)
{
	is_draining = drain && (is_draining || !is_stopping);
	is_stopping = true;
	/*
	 * The manager would kill us when its time to stop is over; what is drained may run for
	 * hours.
	 */
	if (is_draining)
		notify_status(status_now());
	else
		notify_stopping();
	log_info("%s", status_now());
	engine_stop(is_draining, on_stopped);
}

/* What keeps something that it took from the settings. */
void daemon_settings_changed(void)
{
	admins_forget();
	history_look();
	hook_start();
	log_info("configuration read again");
}

static void reload(void)
{
	struct aw_err err = { 0 };
	json_t *restart = NULL;

	notify_reloading();
	if (conf_reload(&restart, &err) < 0)
		log_error("the configuration stays as it was: %s", err.message);
	else
		daemon_settings_changed();
	json_decref(restart);
	aw_err_fini(&err);
	notify_ready(status_now());
}

static void on_signal(int signo)
{
	if (signo == SIGHUP)
		reload();
	else
		daemon_shutdown(false);
}

/* Where fetches go in the system instance, unless configured otherwise. */
static void make_downloads(void)
{
	if (conf->is_system && mkdir(conf->output_roots[0], 0700) < 0 && errno != EEXIST)
		log_warning("cannot make %s: %s", conf->output_roots[0], strerror(errno));
}

/* Connections and transfers take descriptors; the soft limit is for programs that use select(). */
static void raise_open_files(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/*
 * Requests come in bursts that free again all they have taken.  Giving pages
 * back to the kernel and merging small chunks in between costs a fifth of a
 * pipelined submit (measured), and the next burst takes them anew.
 */
static void tune_malloc(void)
{
	(void)mallopt(M_TRIM_THRESHOLD, 32 * 1024 * 1024);
	/*
	 * What the threads that parse long lines have freed stays in the arenas that they used:
	 * one of their own each would keep four times the worst line.
	 */
	(void)mallopt(M_ARENA_MAX, 2);
	(void)mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
	(void)mallopt(M_MXFAST, 80 * sizeof(size_t) / 4);
}

static int start_loop(struct aw_err *err)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int r = loop_init();

	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGXFSZ, &ignore, NULL); /* a file's size limit is an error of the write */
	for (size_t i = 0; r == 0 && i < sizeof(signals) / sizeof(signals[0]); i++)
		r = loop_on_signal(signals[i], on_signal);
	if (r < 0)
		return aw_fail(err, AW_INTERNAL, "cannot start the event loop: %s", strerror(-r));
	return 0;
}

static int start_jobs(struct store *store, struct aw_err *err)
{
	int r = engine_init(store);

	jobdir_init(conf->state_dir);
	alive_init(conf->state_dir);
	workenv_init();
	make_downloads();
	if (r == 0)
		r = xfer_init();
	if (r == 0)
		r = engine_load();
	if (r == 0)
		hook_start();
	if (r == -EBADMSG) {
		aw_fail(err, AW_DAMAGED,
			"the stored jobs in %s are damaged. Nothing was changed. Look with "
			"\"awaitd --check\"; put a sound copy in its place, or save what can be "
			"read, as awaitd(8) tells: sqlite3 awaitd.db '.clone saved.db'",
			conf->state_dir);
		return EXIT_DAMAGED;
	}
	if (r < 0) {
		aw_fail(err, AW_IO, "cannot read the jobs: %s", strerror(-r));
		return EXIT_IO;
	}
	return EXIT_SUCCESS;
}

/* What was begun for the jobs has to land before the store is closed under it. */
static int leave(int status, struct aw_err *err)
{
	status = fail(status, err);
	engine_stop(false, on_stopped);
	loop_run();
	return status;
}

/* Everything that lives while the store is open. */
static int serve(struct store *store)
{
	struct aw_err err = { 0 };

	int status = start_jobs(store, &err);

	if (status != EXIT_SUCCESS)
		return leave(status, &err);
	if (server_open(&err) < 0)
		return leave(EXIT_FAILURE, &err);
	history_start(store);
	notify_ready(status_now());
	notify_watchdog_start();
	log_info("awaitd %s is ready: socket %s, state %s", PACKAGE_VERSION, conf->socket_path,
		 conf->state_dir);
	loop_run();
	server_close();
	return EXIT_SUCCESS;
}

static int run_with_store(bool is_init)
{
	const struct store_options options = {
		.state_dir = conf->state_dir,
		.is_init = is_init,
		.allow_unsafe_fs = conf->allow_unsafe_fs,
		.reserve_bytes = conf->reserve_bytes,
		.min_free_bytes = conf->min_free_bytes,
		.check_max_bytes = conf->check_max_bytes,
		.key_kept_ms = conf->key_keep_us / 1000,
		.on_fatal = on_store_fatal,
		.on_degraded = on_degraded,
		.log = log_from_store,
	};
	struct aw_err err = { 0 };
	struct store *store;
	int closed, status = store_open(&options, &store, &err);

	if (status != 0)
		return fail(status, &err);
	status = serve(store);
	history_stop();
	proc_fini();
	offload_fini();
	closed = store_close(store);
	engine_fini();
	xfer_fini();
	users_fini();
	admins_fini();
	jobdir_fini();
	alive_fini();
	if (status == EXIT_SUCCESS && closed != 0) {
		notify_status("the disk failed at the stop; what was acknowledged is safe");
		status = closed;
	}
	return status;
}

/*
 * Everything is stored, and the loop hears no signals any more: another one, which managers
 * and people send, is not to turn an orderly end into a death by that signal.
 */
static void hear_no_more(void)
{
	sigset_t all;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static int run(bool is_init)
{
	struct aw_err err = { 0 };
	int status;

	raise_open_files();
	tune_malloc();
	jsonmem_init();
	if (conf->is_system)
		(void)prctl(PR_SET_DUMPABLE, 0);
	if (start_loop(&err) < 0)
		return fail(EXIT_FAILURE, &err);
	/* Before threads and heap exist: forking is cheap now (R3.2). */
	if (proc_init(&err) < 0)
		return fail(EXIT_FAILURE, &err);
	log_start();
	status = run_with_store(is_init);
	hear_no_more();
	loop_fini();
	if (status == EXIT_SUCCESS)
		log_info("stopped");
	log_stop();
	return status;
}

static int check_store(void)
{
	struct aw_err err = { 0 };
	int status = store_check(conf->state_dir, print_line, &err);

	if (status != 0)
		return fail(status, &err);
	print_line("the store is sound");
	return EXIT_SUCCESS;
}

int daemon_main(const struct daemon_options *options)
{
	struct aw_err err = { 0 };
	struct conf *c = NULL;
	int status;

	(void)umask(077);
	log_init(LOG_INFO, -1);
	if (conf_load(&options->conf, &c, &err) < 0)
		return fail(EXIT_CONFIG, &err);
	conf_apply(c);
	log_set_level(conf->log_level);
	if (options->is_check_config) {
		print_line("the configuration is valid");
		status = EXIT_SUCCESS;
	} else if (options->is_check) {
		status = check_store();
	} else {
		status = run(options->is_init);
	}
	conf_apply(NULL);
	return status;
}
