/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_CONF_H
#define DAEMON_CONF_H

#include "daemon/base/network.h"
#include "proto/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf_flags {
	int scope; /* 0 = by uid, 1 = --user, 2 = --system */
	const char *config, *socket, *state_dir, *log_level; /* NULL = not given */
};

struct conf_networks {
	struct network *list; /* owns */
	size_t n;
};

/* How a setting is written in the file. */
enum conf_type {
	CONF_BOOL,     /* yes, no, true, false, on, off, 1, 0 */
	CONF_COUNT,    /* a decimal integer */
	CONF_NUMBER,   /* a decimal number, which may have a fraction */
	CONF_MODE,     /* permissions, in octal */
	CONF_DURATION, /* "20s", "1min 30s", a bare number is seconds; microseconds in struct conf
			*/
	CONF_SIZE,     /* "10M", powers of 1024; bytes in struct conf */
	CONF_LEVEL,    /* debug, info, notice, warning, err */
	CONF_GROUP,    /* a group's name; empty = none */
	CONF_PROXY,    /* an http, https or socks URL; empty = none */
	CONF_PATHS,   /* absolute paths, ":" between them; further lines that begin with a blank add
		       to it */
	CONF_SEARCH,  /* absolute paths, ":" between them, as one text (PATH) */
	CONF_PROGRAM, /* an absolute path; empty = none */
	CONF_OUTCOMES, /* job outcomes, blanks between them; a bit each in struct conf */
	CONF_NETWORKS, /* IP networks, blanks between them; any, none, loopback, private */
	N_CONF_TYPES
};

struct conf_setting {
	const char *section, *name;
	enum conf_type type;
	size_t at;	       /* the member's offset in struct conf */
	int64_t min, max;      /* as in struct conf: counts, numbers, microseconds, bytes */
	const char *otherwise; /* the default, as it would stand in the file; "auto" = see help */
	bool is_live;	       /* a reload puts a new value in force at once */
	const char *help;
};
/* In the order of the manual page. */
extern const struct conf_setting conf_settings[];
extern const size_t n_conf_settings;

/*
 * The settings in force.  conf.c has one table (section, name, type, unit,
 * range, default, help, can it change by reload); awaitd.conf(5), --check-config
 * and daemon.info's "settings" come from it.
 */
struct conf {
	/* [daemon] */
	bool is_system;		 /* by flag or uid, not a setting */
	char *state_dir;	 /* by flag or place, absolute */
	char *socket_path;	 /* by flag or place, absolute */
	char *config_path;	 /* NULL if there was none to read */
	int log_level;		 /* syslog priority */
	int64_t stop_timeout_us; /* 20 s */
	bool allow_unsafe_fs;
	/* [storage] an eighth of the file system at most; 0 = none (R1.6) */
	int64_t reserve_bytes;	 /* 16 MiB */
	int64_t min_free_bytes;	 /* 64 MiB */
	int64_t check_max_bytes; /* 256 MiB: a larger database is not looked through at a start */
	/* [access] system instance only */
	char *socket_group, *admin_group; /* "" = none */
	int64_t admin_refresh_us;	  /* 1 min */
	/* [quotas] of one user; 0 = none; root has none */
	int64_t quota_jobs;  /* 100,000 in the system instance */
	int64_t quota_bytes; /* 256 MiB there */
	/* [connections] */
	int64_t max_connections;	  /* 256 */
	int64_t reserved_for_root;	  /* 8 of them */
	int64_t max_connections_per_user; /* 64 */
	int64_t line_timeout_us;	  /* 30 s for a started line */
	int64_t output_soft_bytes,
		output_hard_bytes; /* unread notifications: 1 MiB for 10 s, 4 MiB at once */
	int64_t output_soft_timeout_us;
	int64_t max_buffers_bytes; /* 64 MiB for all connections together */
	/* [queues] limits of the built-in queues at their creation */
	int64_t fetch_limit, worker_limit; /* 64; twice the CPUs, at least 4 */
	int64_t hook_limit;		   /* 4 */
	/* [jobs] what holds where a document does not say otherwise; never written into it */
	int64_t grace_us;	     /* 5 s */
	int64_t max_grace_us;	     /* 1 h; a longer one is cut to it when it is needed */
	int64_t retry_delay_us;	     /* 1 s */
	double retry_factor;	     /* 2 */
	int64_t retry_max_delay_us;  /* 5 min */
	double retry_jitter;	     /* 0.1 */
	int64_t crash_loop_us;	     /* 10 s: cut off so soon after its start is a quick loss */
	int64_t crash_loop_attempts; /* 3 of them in a row */
	int64_t key_keep_us;	     /* 24 h after the end (R2.6) */
	/* [history] of jobs that are done; 0 = for ever, any number, any size */
	int64_t history_keep_us;   /* 30 days, where a job has no "keep" */
	int64_t history_max_jobs;  /* 1,000,000 */
	int64_t history_max_bytes; /* 10 GiB of output, results and errors */
	/* [worker] */
	int64_t output_limit_bytes; /* 10 MiB kept of one attempt's output */
	int64_t output_wait_us;	    /* 1 s for output after the program's end (R3.7) */
	int64_t open_files;	    /* 1,024 (R3.8) */
	int64_t umask;		    /* 0022 (user), 0077 (system); -1 while it is not worked out */
	char *search_path;	    /* PATH of workers */
	/* [fetch] what holds where a document does not say otherwise */
	int64_t connect_timeout_us; /* 30 s */
	int64_t idle_timeout_us;    /* 60 s */
	int64_t redirects;	    /* 10 */
	int64_t max_size_bytes;	    /* 0 = any */
	char **output_roots;	    /* absolute, NULL-terminated; the first takes relative paths */
	char *proxy;		    /* "" = none */
	char *ca_file;		    /* "" = this machine's authorities */
	/* of loopback and private ones, those that fetches may contact */
	struct conf_networks allow_networks;
	/* [hooks] */
	char *hook_program;	 /* "" = none */
	int64_t hook_outcomes;	 /* 1 << enum job_outcome */
	int64_t hook_timeout_us; /* 5 min */
	/* what it was loaded with, for a reload; strings borrowed for ever (argv) */
	struct conf_flags flags;
};
extern const struct conf *conf; /* the settings in force; replaced whole by a reload */

/*
 * Work out the paths and read the file.  A file named by --config must exist;
 * the usual one need not.  Blocks (start-up; a reload reads one small file).  0, or -EINVAL with
 * "FILE:LINE: what is wrong" in @err.
 */
int conf_load(const struct conf_flags *flags, struct conf **ret, struct aw_err *err);
void conf_free(struct conf *c);
/* Put @c in force, the log's level too; what was in force before is freed.  Takes @c; NULL =
 * nothing is in force any more. */
void conf_apply(struct conf *c);
/* daemon.info's "settings": {"section.name": value} of the whole table; durations in seconds, sizes
 * in bytes. Gives it. */
json_t *conf_to_json(const struct conf *c);
/*
 * daemon.reload: read again and put in force what can change live (the log's
 * level with it); names of changed settings that need a restart go to
 * @ret_restart (a JSON list, given).  After an error all is as before.
 */
int conf_reload(json_t **ret_restart, struct aw_err *err);

#endif
