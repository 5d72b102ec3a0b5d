/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "daemon/conf.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/utf8.h"
#include "daemon/confvalue.h"
#include "daemon/log.h"
#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/xalloc.h"

#define SECOND_US INT64_C(1000000)
#define HOUR_US (3600 * SECOND_US)
#define YEAR_US (365 * 24 * HOUR_US)
#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SYSTEM_PATH "/usr/local/bin:/usr/bin:/bin"

/* The member and the type of its unit, so that the two cannot disagree. */
#define AT(member) offsetof(struct conf, member)

const struct conf_setting conf_settings[] = {
	{ "daemon", "log_level", CONF_LEVEL, AT(log_level), 0, 0, "info", true,
	  "least important messages that are logged: debug, info, notice, warning or err" },
	{ "daemon", "stop_timeout", CONF_DURATION, AT(stop_timeout_us), 0, HOUR_US, "20s", true,
	  "longest time that running work gets to end when the daemon stops" },
	{ "daemon", "allow_unsafe_fs", CONF_BOOL, AT(allow_unsafe_fs), 0, 0, "no", false,
	  "start although the state directory is on a network file system, which may lose jobs" },
	{ "storage", "reserve", CONF_SIZE, AT(reserve_bytes), 0, 16 * GIB, "16M", false,
	  "size of a file that is given up when the disk is full, so that what becomes of jobs "
	  "can be stored; an eighth of the file system at most; 0 is none" },
	{ "storage", "min_free", CONF_SIZE, AT(min_free_bytes), 0, 1024 * GIB, "64M", false,
	  "with less space than this left on the disk no new jobs are taken; an eighth of the "
	  "file system at most; 0 takes them until it is full" },
	{ "storage", "check_max", CONF_SIZE, AT(check_max_bytes), 0, 1024 * GIB, "256M", false,
	  "a database larger than this is not looked through at the start after a crash" },
	{ "access", "socket_group", CONF_GROUP, AT(socket_group), 0, 0, "awaitd", false,
	  "group that may use the system instance by a socket that awaitd makes itself; empty is "
	  "its own" },
	{ "access", "admin_group", CONF_GROUP, AT(admin_group), 0, 0, "awaitd-admin", true,
	  "group that may see and change everybody's jobs in the system instance; empty is none" },
	{ "access", "admin_refresh", CONF_DURATION, AT(admin_refresh_us), SECOND_US, HOUR_US,
	  "1min", true, "how long an answer about admin_group is good before it is asked again" },
	{ "quotas", "unfinished_jobs", CONF_COUNT, AT(quota_jobs), 0, 1000000000, "auto", true,
	  "unfinished jobs that one user may have; root is exempt; 0 is any number; auto is 100000 "
	  "in the system instance, else 0" },
	{ "quotas", "document_bytes", CONF_SIZE, AT(quota_bytes), 0, 1024 * GIB, "auto", true,
	  "what the documents of one user's unfinished jobs may take; root is exempt; 0 is any "
	  "size; auto is 256M in the system instance, else 0" },
	{ "connections", "max_connections", CONF_COUNT, AT(max_connections), 16, 65536, "256", true,
	  "connections at once" },
	{ "connections", "reserved_for_root", CONF_COUNT, AT(reserved_for_root), 0, 1024, "8", true,
	  "of max_connections, those that are kept for root" },
	{ "connections", "max_connections_per_user", CONF_COUNT, AT(max_connections_per_user), 1,
	  65536, "64", true, "connections of one user at once; root is exempt" },
	{ "connections", "line_timeout", CONF_DURATION, AT(line_timeout_us), SECOND_US, HOUR_US,
	  "30s", true, "time to finish a request line that was begun" },
	{ "connections", "output_soft", CONF_SIZE, AT(output_soft_bytes), 64 * KIB, GIB, "1M", true,
	  "unread notifications that a connection may have for output_soft_timeout" },
	{ "connections", "output_soft_timeout", CONF_DURATION, AT(output_soft_timeout_us),
	  SECOND_US, HOUR_US, "10s", true,
	  "how long output_soft may be exceeded before the connection is dropped" },
	{ "connections", "output_hard", CONF_SIZE, AT(output_hard_bytes), 64 * KIB, GIB, "4M", true,
	  "unread notifications at which a connection is dropped at once" },
	{ "connections", "max_buffers", CONF_SIZE, AT(max_buffers_bytes), MIB, 64 * GIB, "64M",
	  true,
	  "unread answers and requests of all connections together; beyond it the connection "
	  "with most is dropped" },
	{ "queues", "fetch_limit", CONF_COUNT, AT(fetch_limit), 1, 100000, "64", false,
	  "limit of the queue \"fetch\" when it is made; queue.set changes it later" },
	{ "queues", "worker_limit", CONF_COUNT, AT(worker_limit), 1, 100000, "auto", false,
	  "limit of the queue \"worker\" when it is made; auto is twice the CPUs, at least 4" },
	{ "queues", "hook_limit", CONF_COUNT, AT(hook_limit), 1, 100000, "4", false,
	  "limit of the queue \"hook\" when it is made; see [hooks]" },
	{ "jobs", "grace", CONF_DURATION, AT(grace_us), 0, HOUR_US, "5s", true,
	  "between the polite stop and the kill, where a job does not say" },
	{ "jobs", "max_grace", CONF_DURATION, AT(max_grace_us), 0, HOUR_US, "1h", true,
	  "no job gets longer than this between the two, whatever it or a cancel says" },
	{ "jobs", "retry_delay", CONF_DURATION, AT(retry_delay_us), 0, 10 * YEAR_US, "1s", true,
	  "before the first retry, where a job does not say" },
	{ "jobs", "retry_factor", CONF_NUMBER, AT(retry_factor), 1, JOB_RETRY_FACTOR_MAX, "2", true,
	  "each delay is so many times the one before, where a job does not say" },
	{ "jobs", "retry_max_delay", CONF_DURATION, AT(retry_max_delay_us), 0, 10 * YEAR_US, "5min",
	  true, "a delay gets no longer, where a job does not say" },
	{ "jobs", "retry_jitter", CONF_NUMBER, AT(retry_jitter), 0, 1, "0.1", true,
	  "each delay is up to this part of it shorter or longer, where a job does not say" },
	{ "jobs", "crash_loop_within", CONF_DURATION, AT(crash_loop_us), SECOND_US, HOUR_US, "10s",
	  true, "an attempt that is cut off sooner than this after its start is a quick loss" },
	{ "jobs", "crash_loop_attempts", CONF_COUNT, AT(crash_loop_attempts), 2, 100, "3", true,
	  "quick losses in a row after which a job is not started again (crash_loop)" },
	{ "jobs", "key_keep", CONF_DURATION, AT(key_keep_us), 24 * HOUR_US, 10 * YEAR_US, "24h",
	  false, "how long an idempotency key is known after the end of its job" },
	{ "history", "keep", CONF_DURATION, AT(history_keep_us), 0, 10 * YEAR_US, "30d", true,
	  "how long jobs that are done stay, with their output, where they do not say so "
	  "themselves; 0 is for ever" },
	{ "history", "max_jobs", CONF_COUNT, AT(history_max_jobs), 0, 1000000000, "1000000", true,
	  "jobs that are done; beyond it those that ended first are removed; 0 is any number" },
	{ "history", "max_bytes", CONF_SIZE, AT(history_max_bytes), 0, 1024 * 1024 * GIB, "10G",
	  true,
	  "output, results and errors of jobs that are done; beyond it those that ended first "
	  "are removed; 0 is any size" },
	{ "worker", "output_limit", CONF_SIZE, AT(output_limit_bytes), 4 * KIB, 1024 * GIB, "10M",
	  true, "output kept of one attempt, the first and the last part of it" },
	{ "worker", "output_wait", CONF_DURATION, AT(output_wait_us), 0, 60 * SECOND_US, "1s", true,
	  "how long output may still come after the program has ended" },
	{ "worker", "open_files", CONF_COUNT, AT(open_files), 16, 1048576, "1024", true,
	  "files that a worker may have open; the daemon's own hard limit at most" },
	{ "worker", "umask", CONF_MODE, AT(umask), 0, 0777, "auto", true,
	  "permissions that files of workers do not get; auto is 0022 (user) or 0077 (system)" },
	{ "worker", "path", CONF_SEARCH, AT(search_path), 0, 0, "auto", true,
	  "PATH of workers, where a job does not say; auto is the daemon's own (user) or "
	  "/usr/local/bin:/usr/bin:/bin (system)" },
	{ "fetch", "connect_timeout", CONF_DURATION, AT(connect_timeout_us), SECOND_US,
	  10 * YEAR_US, "30s", true, "how long connecting may take, where a job does not say" },
	{ "fetch", "idle_timeout", CONF_DURATION, AT(idle_timeout_us), SECOND_US, 10 * YEAR_US,
	  "1min", true, "how long nothing may arrive, where a job does not say" },
	{ "fetch", "redirects", CONF_COUNT, AT(redirects), 0, JOB_REDIRECTS_MAX, "10", true,
	  "how many redirects are followed, where a job does not say" },
	{ "fetch", "max_size", CONF_SIZE, AT(max_size_bytes), 0, 1024 * 1024 * GIB, "0", true,
	  "a fetch of more fails, where a job does not say; 0 is any size" },
	{ "fetch", "output_roots", CONF_PATHS, AT(output_roots), 0, 0, "auto", true,
	  "directories below which fetches may write; a relative output is below the first; "
	  "auto is the home directory (user) or downloads/ in the state directory (system)" },
	{ "fetch", "allow_networks", CONF_NETWORKS, AT(allow_networks), 0, 0, "auto", true,
	  "of loopback and private networks, those that fetches may contact: 10.0.0.0/8 fd00::/8, "
	  "or any, none, loopback; auto is any (user) or none (system)" },
	{ "fetch", "proxy", CONF_PROXY, AT(proxy), 0, 0, "", true,
	  "proxy for all fetches: an http, https or socks URL; empty is none" },
	{ "fetch", "ca_file", CONF_PROGRAM, AT(ca_file), 0, 0, "", true,
	  "certificates (PEM) of the authorities that fetches trust, in place of this machine's; "
	  "empty is this machine's" },
	{ "hooks", "on_end", CONF_PROGRAM, AT(hook_program), 0, 0, "", true,
	  "program that is run when a job ends with one of outcomes, with the job object on its "
	  "standard input; empty is none" },
	{ "hooks", "outcomes", CONF_OUTCOMES, AT(hook_outcomes), 0, 0, "failed timed_out lost",
	  true, "outcomes for which on_end is run" },
	{ "hooks", "timeout", CONF_DURATION, AT(hook_timeout_us), SECOND_US, 24 * HOUR_US, "5min",
	  true, "longest time that on_end may run" },
};
enum { N_SETTINGS = sizeof conf_settings / sizeof conf_settings[0] };
const size_t n_conf_settings = N_SETTINGS;

const struct conf *conf;

/* ---- the file ---- */

struct reader {
	struct conf *c;
	const char *path;
	FILE *file;
	char *line; /* owns; getline's */
	size_t size;
	unsigned lineno;
	unsigned seen_at[N_SETTINGS]; /* line, 0 = not yet */
	bool has_failed;
	struct aw_err *err;
};

/* The first error stands; what follows it may be its consequence. */
static int fail_line(struct reader *r, const char *name, const char *why)
{
	if (!r->has_failed)
		aw_fail(r->err, AW_PARAMS, "%s:%u: %s%s%s", r->path, r->lineno, name,
			*name ? " " : "", why);
	r->has_failed = true;
	return 0; /* what the library takes for an error */
}

static bool is_section(const char *name, size_t len)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strlen(conf_settings[i].section) == len &&
		    !strncmp(conf_settings[i].section, name, len))
			return true;
	return false;
}

/* The table's sections, in its order. */
static void add_sections(struct buf *b)
{
	const char *last = "";

	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (strcmp(conf_settings[i].section, last) != 0)
			buf_addf(b, "%s %s", i ? "," : "", conf_settings[i].section);
		last = conf_settings[i].section;
	}
}

/* The library tells of a section only with its first setting: an empty one that is misspelt would
 * go unseen. */
static void check_section(struct reader *r)
{
	size_t len = r->line[0] == '[' ? strcspn(r->line, "]\n") : 0;
	char name[64];
	struct buf why = { 0 };

	if (!len || r->line[len] != ']' || is_section(r->line + 1, len - 1))
		return;
	snprintf(name, sizeof name, "[%.*s]",
		 (int)utf8_bounded(r->line + 1, len - 1 < 32 ? len - 1 : 32), r->line + 1);
	buf_adds(&why, "is no section; there are");
	add_sections(&why);
	fail_line(r, name, buf_terminate(&why));
	buf_fini(&why);
}

/* fgets for the library, which does not tell line numbers and silently splits what is longer than
 * its buffer. */
static char *read_line(char *to, int size, void *stream)
{
	struct reader *r = stream;
	ssize_t len;

	if (r->has_failed)
		return NULL;
	errno = 0;
	len = getline(&r->line, &r->size, r->file);
	if (len < 0) {
		if (ferror(r->file))
			fail_line(r, "", strerror(errno));
		return NULL;
	}
	r->lineno++;
	if (memchr(r->line, 0, (size_t)len)) {
		fail_line(r, "", "there is a NUL byte in this line");
		return NULL;
	}
	if (len >= size - 1) {
		char why[128];

		snprintf(why, sizeof why,
			 "the line is longer than %d bytes; a list of paths goes on in further "
			 "lines that begin with a blank",
			 size - 3);
		fail_line(r, "", why);
		return NULL;
	}
	check_section(r);
	memcpy(to, r->line, (size_t)len + 1);
	return r->has_failed ? NULL : to;
}

static const struct conf_setting *find_setting(const char *section, const char *name)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (!strcmp(conf_settings[i].section, section) &&
		    !strcmp(conf_settings[i].name, name))
			return &conf_settings[i];
	return NULL;
}

static int check_once(struct reader *r, const struct conf_setting *s)
{
	unsigned *seen_at = &r->seen_at[s - conf_settings];
	bool goes_on = r->line[0] == ' ' || r->line[0] == '\t';
	char why[64];

	if (*seen_at && goes_on && s->type != CONF_PATHS && s->type != CONF_NETWORKS)
		return fail_line(
			r, s->name,
			"cannot go on in a second line; a setting begins at the start of its line");
	if (*seen_at && !goes_on) {
		snprintf(why, sizeof why, "is set twice, first in line %u", *seen_at);
		return fail_line(r, s->name, why);
	}
	*seen_at = r->lineno;
	return 1;
}

static int on_setting(void *user, const char *section, const char *name, const char *value)
{
	const struct conf_setting *s = find_setting(section, name);
	struct reader *r = user;
	struct aw_err why = { 0 };
	char shown[64];
	int ok;

	if (!s) {
		snprintf(shown, sizeof shown, "\"%.*s\"", (int)utf8_bounded(name, 40), name);
		if (!*section)
			return fail_line(r, shown, "stands before the first [section]");
		return fail_line(r, shown, "is no setting of this section; see awaitd.conf(5)");
	}
	if (!check_once(r, s))
		return 0;
	ok = conf_value_set(r->c, s, value, &why) == 0 || fail_line(r, name, why.message);
	aw_err_fini(&why);
	return ok;
}

static int read_file(struct conf *c, const char *path, bool must_exist, struct aw_err *err)
{
	struct reader r = { .c = c, .path = path, .err = err };
	int bad_line;

	r.file = fopen(path, "re");
	if (!r.file) {
		if (errno == ENOENT && !must_exist)
			return 0;
		return aw_fail(err, AW_PARAMS, "%s: %s", path, strerror(errno));
	}
	c->config_path = xstrdup(path);
	bad_line = ini_parse_stream(read_line, &r, on_setting, &r);
	/* The library goes on after a line that it does not understand: that is the first error. */
	if (bad_line > 0 && (!r.has_failed || (unsigned)bad_line < r.lineno)) {
		r.has_failed = false;
		r.lineno = (unsigned)bad_line;
		fail_line(&r, "", "this is neither [SECTION] nor NAME = VALUE nor a comment");
	}
	fclose(r.file);
	free(r.line);
	return r.has_failed ? -EINVAL : 0;
}

/* ---- places ---- */

/* An environment variable that holds an absolute path; others are to be ignored (XDG base
 * directories). */
static const char *env_path(const char *name)
{
	const char *path = getenv(name);

	return path && *path == '/' ? path : NULL;
}

/*
 * The password database may be far away, and blocks: it is asked once, at start-up, and not
 * when the configuration is read again.
 */
static int find_home(const char **ret, struct aw_err *err)
{
	static char *known;
	const struct passwd *pw;

	*ret = env_path("HOME");
	if (!*ret && !known) {
		pw = getpwuid(geteuid());
		if (!pw || pw->pw_dir[0] != '/')
			return aw_fail(err, AW_PARAMS,
				       "$HOME is not set and uid %d has no home directory",
				       (int)geteuid());
		known = xstrdup(pw->pw_dir);
	}
	if (!*ret)
		*ret = known;
	return 0;
}

static char *absolute(const char *path)
{
	cleanup_free char *here = NULL;

	if (*path == '/')
		return xstrdup(path);
	here = getcwd(NULL, 0);
	return xasprintf("%s/%s", here ? here : "", path);
}

/* $NAME/awaitd/LEAF, else HOME/OTHERWISE/awaitd/LEAF. */
static char *xdg_path(const char *name, const char *home, const char *otherwise, const char *leaf)
{
	const char *base = env_path(name);

	if (base)
		return xasprintf("%s/awaitd%s", base, leaf);
	return xasprintf("%s/%s/awaitd%s", home, otherwise, leaf);
}

static char *user_socket_path(const struct conf *c)
{
	const char *base = env_path("XDG_RUNTIME_DIR");
	cleanup_free char *run = xasprintf("/run/user/%u", (unsigned)geteuid());
	struct stat st;

	if (!base && stat(run, &st) == 0 && S_ISDIR(st.st_mode))
		base = run;
	if (base)
		return xasprintf("%s/awaitd/awaitd.sock", base);
	return xasprintf("%s/awaitd.sock", c->state_dir);
}

/* Where everything is.  The configuration's usual place goes to *ret_config. */
static int find_places(struct conf *c, char **ret_config, struct aw_err *err)
{
	const struct conf_flags *f = &c->flags;
	const char *home = "";

	c->is_system = f->scope ? f->scope == 2 : geteuid() == 0;
	if (!c->is_system && find_home(&home, err) < 0)
		return -EINVAL;
	if (f->state_dir)
		c->state_dir = absolute(f->state_dir);
	else
		c->state_dir = c->is_system ? xstrdup("/var/lib/awaitd")
					    : xdg_path("XDG_STATE_HOME", home, ".local/state", "");
	if (f->socket)
		c->socket_path = absolute(f->socket);
	else
		c->socket_path =
			c->is_system ? xstrdup("/run/awaitd/awaitd.sock") : user_socket_path(c);
	if (!utf8_is_text(c->state_dir, strlen(c->state_dir)) ||
	    !utf8_is_text(c->socket_path, strlen(c->socket_path)))
		return aw_fail(err, AW_PARAMS,
			       "the path of the state directory or of the socket is not UTF-8");
	if (f->config)
		*ret_config = absolute(f->config);
	else
		*ret_config =
			c->is_system ? xstrdup("/etc/awaitd/awaitd.conf")
				     : xdg_path("XDG_CONFIG_HOME", home, ".config", "/awaitd.conf");
	return 0;
}

/* Jobs run with our rights: a state directory that somebody else can write to would lend them out.
 */
static int check_state_dir(const struct conf *c, struct aw_err *err)
{
	struct stat st;

	if (stat(c->state_dir, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : aw_fail(err, AW_IO, "%s: %s", c->state_dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return aw_fail(err, AW_IO, "%s: the state directory is no directory", c->state_dir);
	if (!c->is_system && st.st_uid != geteuid())
		return aw_fail(err, AW_DENIED,
			       "%s: this state directory belongs to uid %d, not to you (uid %d); "
			       "choose another with --state-dir",
			       c->state_dir, (int)st.st_uid, (int)geteuid());
	return 0;
}

/* ---- all of it ---- */

/* What cannot be shown (daemon.info) is not taken over. */
static const char *default_search_path(const struct conf *c)
{
	const char *ours = c->is_system ? NULL : getenv("PATH");

	return ours && *ours && utf8_is_text(ours, strlen(ours)) ? ours : SYSTEM_PATH;
}

static int fill_auto(struct conf *c, struct aw_err *err)
{
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cleanup_free char *downloads = NULL;
	const char *root;

	if (c->quota_jobs < 0)
		c->quota_jobs = c->is_system ? 100000 : 0;
	if (c->quota_bytes < 0)
		c->quota_bytes = c->is_system ? 256 * MIB : 0;
	if (!c->worker_limit)
		c->worker_limit = n_cpus > 2 ? 2 * n_cpus : 4;
	if (!c->allow_networks.list)
		(void)conf_networks_add(&c->allow_networks, c->is_system ? "none" : "any");
	if (c->umask < 0)
		c->umask = c->is_system ? 0077 : 0022;
	if (!c->search_path)
		c->search_path = xstrdup(default_search_path(c));
	if (c->output_roots)
		return 0;
	root = downloads = xasprintf("%s/downloads", c->state_dir);
	if (!c->is_system && find_home(&root, err) < 0)
		return -EINVAL;
	conf_paths_add(&c->output_roots, root, strlen(root));
	return 0;
}

static void set_defaults(struct conf *c)
{
	struct aw_err err = { 0 };

	for (size_t i = 0; i < N_SETTINGS; i++) {
		int r = conf_value_set(c, &conf_settings[i], conf_settings[i].otherwise, &err);

		assert(r == 0);
	}
}

/* Settings that must fit one another. */
static int check_pairs(const struct conf *c, const char *path, struct aw_err *err)
{
	if (c->output_hard_bytes < c->output_soft_bytes)
		return aw_fail(err, AW_PARAMS,
			       "%s: [connections] output_hard is less than output_soft", path);
	if (c->reserved_for_root >= c->max_connections)
		return aw_fail(err, AW_PARAMS,
			       "%s: [connections] reserved_for_root leaves nothing of "
			       "max_connections",
			       path);
	if (c->max_grace_us < c->grace_us)
		return aw_fail(err, AW_PARAMS, "%s: [jobs] max_grace is less than grace", path);
	return 0;
}

static int load(struct conf *c, struct aw_err *err)
{
	cleanup_free char *config = NULL;
	const struct conf_flags *f = &c->flags;

	set_defaults(c);
	c->quota_jobs = c->quota_bytes = c->umask = -1;
	if (find_places(c, &config, err) < 0 || read_file(c, config, f->config, err) < 0)
		return -EINVAL;
	if (f->log_level) {
		c->log_level = log_level_parse(f->log_level);
		if (c->log_level < 0)
			return aw_fail(
				err, AW_PARAMS,
				"--log-level %.40s: choose debug, info, notice, warning or err",
				f->log_level);
	}
	if (check_pairs(c, c->config_path ? c->config_path : config, err) < 0 ||
	    fill_auto(c, err) < 0)
		return -EINVAL;
	return check_state_dir(c, err);
}

int conf_load(const struct conf_flags *flags, struct conf **ret, struct aw_err *err)
{
	struct conf *c = xcalloc(1, sizeof *c);

	c->flags = *flags;
	if (load(c, err) < 0) {
		conf_free(c);
		return -EINVAL;
	}
	*ret = c;
	return 0;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	free(c->state_dir);
	free(c->socket_path);
	free(c->config_path);
	conf_paths_free(c->output_roots);
	free(c->proxy);
	free(c->search_path);
	free(c->ca_file);
	free(c->hook_program);
	free(c->allow_networks.list);
	free(c->socket_group);
	free(c->admin_group);
	free(c);
}

void conf_apply(struct conf *c)
{
	/* Only this function gave it away as const. */
	conf_free((struct conf *)conf);
	conf = c;
	if (c)
		log_set_level(c->log_level);
}

json_t *conf_to_json(const struct conf *c)
{
	json_t *all = json_object();
	char name[64];

	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct conf_setting *s = &conf_settings[i];

		snprintf(name, sizeof name, "%s.%s", s->section, s->name);
		json_object_set_new(all, name, conf_value_json(c, s));
	}
	return all;
}

/*
 * Of the settings that cannot change live keep what is in force, and tell the names.  @old is
 * about to be freed.
 */
static json_t *keep_fixed(struct conf *fresh, struct conf *old)
{
	json_t *names = json_array();

	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct conf_setting *s = &conf_settings[i];
		json_t *before, *after;

		if (s->is_live)
			continue;
		before = conf_value_json(old, s);
		after = conf_value_json(fresh, s);
		if (!json_equal(before, after))
			json_array_append_new(names, json_sprintf("%s.%s", s->section, s->name));
		json_decref(before);
		json_decref(after);
		conf_value_swap(fresh, old, s);
	}
	return names;
}

int conf_reload(json_t **ret_restart, struct aw_err *err)
{
	struct conf *fresh;

	if (conf_load(&conf->flags, &fresh, err) < 0)
		return -EINVAL;
	*ret_restart = keep_fixed(fresh, (struct conf *)conf);
	conf_apply(fresh);
	return 0;
}
