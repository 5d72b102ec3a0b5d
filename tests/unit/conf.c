/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/conf.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "proto/buf.h"
#include "proto/xalloc.h"
#include "tests/unit/suite.h"

static char folder[] = "/tmp/awaitd-conf-XXXXXX";
static char file[64], home[64];
static struct conf *c;
static struct aw_err err;

static void setup(void)
{
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/test.conf", folder);
	snprintf(home, sizeof(home), "%s/home", folder);
	ck_assert_int_eq(mkdir(home, 0700), 0);
	setenv("HOME", home, 1);
	unsetenv("XDG_STATE_HOME");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_RUNTIME_DIR");
	c = NULL;
}

static void teardown(void)
{
	conf_free(c);
	aw_err_fini(&err);
	unlink(file);
	rmdir(home);
	rmdir(folder);
}

static void write_bytes(const char *text, size_t len)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	fclose(f);
}

static int load(const char *text)
{
	const struct conf_flags flags = { .scope = 1, .config = file };

	write_bytes(text, strlen(text));
	return conf_load(&flags, &c, &err);
}

/* ---- bad files ---- */

#define X40 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define LONG_LINE X40 X40 X40 X40 X40 X40

static const struct {
	const char *text;
	int line;
	const char *says;
} bad[] = {
	{ "[daemon]\nlog_level = loud\n", 2, "log_level" },
	{ "[daemon]\nlog_level =\n", 2, "log_level" },
	{ "[daemon]\n\n# c\nlog_levle = info\n", 4, "\"log_levle\" is no setting" },
	{ "log_level = info\n", 1, "before the first" },
	{ "[demon]\nlog_level = info\n", 1, "[demon] is no section" },
	{ "[daemon]\n[demon]\n", 2, "[demon] is no section" },
	{ "[daemon\nlog_level = info\n", 1, "" },
	{ "[daemon]\nlog_level\n", 2, "neither" },
	{ "[daemon]\nlog_level = info\nlog_level = info\n", 3, "first in line 2" },
	{ "[daemon]\nlog_level = info\n[worker]\noutput_limit = 1M\n[daemon]\nlog_level = err\n", 6,
	  "first in line 2" },
	{ "[daemon]\nlog_level = info\n  stop_timeout = 1s\n", 3, "second line" },
	{ "[daemon]\nstop_timeout = 2h\n", 2, "out of range" },
	{ "[daemon]\nstop_timeout = -1\n", 2, "stop_timeout" },
	{ "[daemon]\nstop_timeout = soon\n", 2, "stop_timeout" },
	{ "[daemon]\nallow_unsafe_fs = maybe\n", 2, "neither yes nor no" },
	{ "[connections]\nmax_connections = 15\n", 2, "16 to 65536" },
	{ "[access]\nadmin_group = two words\n", 2, "name of a group" },
	{ "[connections]\nmax_connections = 16\nreserved_for_root = 16\n", 0, "leaves nothing" },
	{ "[connections]\nmax_connections = 1e3\n", 2, "whole number" },
	{ "[connections]\nmax_connections = 99999999999999999999\n", 2, "whole number" },
	{ "[connections]\nmax_connections = auto\n", 2, "whole number" },
	{ "[connections]\nline_timeout = 500ms\n", 2, "out of range" },
	{ "[connections]\noutput_soft = 1Q\n", 2, "output_soft" },
	{ "[connections]\noutput_soft = 8M\n", 0, "output_hard is less" },
	{ "[queues]\nfetch_limit = 0\n", 2, "1 to 100000" },
	{ "[queues]\nworker_limit = none\n", 2, "whole number" },
	{ "[worker]\noutput_limit = 1K\n", 2, "out of range" },
	{ "[history]\nkeep = 11y\n", 2, "longer than 10 years" },
	{ "[history]\nmax_jobs = -1\n", 2, "0 to 1000000000" },
	{ "[worker]\nopen_files = 8\n", 2, "16 to 1048576" },
	{ "[worker]\numask = 0999\n", 2, "octal" },
	{ "[worker]\numask = 1000\n", 2, "0000 to 0777" },
	{ "[worker]\numask =\n", 2, "octal" },
	{ "[worker]\npath = bin:/bin\n", 2, "\"/\"" },
	{ "[worker]\npath =\n", 2, "empty" },
	{ "[worker]\npath = /bin\n  /sbin\n", 3, "second line" },
	{ "[jobs]\ngrace = 61min\n", 2, "out of range" },
	{ "[jobs]\nmax_grace = 4s\n", 0, "max_grace is less than grace" },
	{ "[jobs]\nretry_factor = 0.5\n", 2, "1 to 100" },
	{ "[jobs]\nretry_factor = nan\n", 2, "is no number" },
	{ "[jobs]\nretry_factor = 1.2.3\n", 2, "is no number" },
	{ "[jobs]\nretry_jitter = 1.01\n", 2, "0 to 1" },
	{ "[jobs]\nretry_jitter = -0.1\n", 2, "is no number" },
	{ "[jobs]\nretry_jitter =\n", 2, "is no number" },
	{ "[jobs]\nkey_keep = 23h\n", 2, "out of range" },
	{ "[jobs]\ncrash_loop_attempts = 1\n", 2, "2 to 100" },
	{ "[fetch]\nredirects = 101\n", 2, "0 to 100" },
	{ "[fetch]\nidle_timeout = 0\n", 2, "out of range" },
	{ "[fetch]\noutput_roots = relative\n", 2, "\"/\"" },
	{ "[fetch]\noutput_roots =\n", 2, "empty" },
	{ "[fetch]\noutput_roots = /a:b\n", 2, "\"/\"" },
	{ "[fetch]\noutput_roots = /a/../b\n", 2, "\"..\"" },
	{ "[fetch]\noutput_roots = /a:\n", 2, "ends with" },
	{ "[fetch]\noutput_roots = /a\n  b\n", 3, "\"/\"" },
	{ "[fetch]\nproxy = example.org:3128\n", 2, "proxy URL" },
	{ "[fetch]\nproxy = http://\xff\n", 2, "UTF-8" },
	{ "[fetch]\nca_file = ca.pem\n", 2, "absolute path" },
	{ "[fetch]\nallow_networks = example.org\n", 2, "no network" },
	{ "[fetch]\nallow_networks = 10.0.0.1/8\n", 2, "behind its prefix" },
	{ "[fetch]\nallow_networks =\n", 2, "is empty" },
	{ "[fetch]\nallow_networks = 10.0.0.0/8\n  x\n", 3, "no network" },
	{ "[hooks]\non_end = mail\n", 2, "absolute path" },
	{ "[hooks]\noutcomes = failed broken\n", 2, "none of succeeded" },
	{ "[hooks]\noutcomes =\n", 2, "is empty" },
	{ "[hooks]\noutcomes = unended\n", 2, "none of succeeded" },
	{ "[daemon]\n" LONG_LINE "\n", 2, "longer than" },
	{ "[daemon]\n\xff\xfe = 1\n", 2, "is no setting" },
};

START_TEST(bad_files)
{
	char place[96];

	ck_assert_int_lt(load(bad[_i].text), 0);
	snprintf(place, sizeof(place), "%s:%d: ", file, bad[_i].line);
	if (bad[_i].line)
		ck_assert_msg(!strncmp(err.message, place, strlen(place)), "%s", err.message);
	ck_assert_msg(strstr(err.message, bad[_i].says), "%s", err.message);
	ck_assert_ptr_null(c);
}
END_TEST

START_TEST(nul_and_no_file)
{
	const struct conf_flags flags = { .scope = 1, .config = file };
	const struct conf_flags a_folder = { .scope = 1, .config = folder };

	write_bytes("[daemon]\nlog_level = i\0nfo\n", 27);
	ck_assert_int_lt(conf_load(&flags, &c, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, ":2: there is a NUL"));
	unlink(file);
	ck_assert_int_lt(conf_load(&flags, &c, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, file));
	ck_assert_int_lt(conf_load(&a_folder, &c, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "directory"));
}
END_TEST

/* ---- good files ---- */

START_TEST(defaults)
{
	ck_assert_int_eq(load(""), 0);
	ck_assert(!c->is_system);
	ck_assert_int_eq(c->log_level, LOG_INFO);
	ck_assert_int_eq(c->stop_timeout_us, 20000000);
	ck_assert(!c->allow_unsafe_fs);
	ck_assert_str_eq(c->socket_group, "awaitd");
	ck_assert_str_eq(c->admin_group, "awaitd-admin");
	ck_assert_int_eq(c->max_connections, 256);
	ck_assert_int_eq(c->reserved_for_root, 8);
	ck_assert_int_eq(c->max_connections_per_user, 64);
	ck_assert_int_eq(c->line_timeout_us, 30000000);
	ck_assert_int_eq(c->output_soft_bytes, 1 << 20);
	ck_assert_int_eq(c->output_hard_bytes, 4 << 20);
	ck_assert_int_eq(c->output_soft_timeout_us, 10000000);
	ck_assert_int_eq(c->max_buffers_bytes, 64 << 20);
	ck_assert_int_eq(c->fetch_limit, 64);
	ck_assert_int_ge(c->worker_limit, 4);
	ck_assert_int_eq(c->grace_us, 5000000);
	ck_assert_int_eq(c->max_grace_us, INT64_C(3600000000));
	ck_assert_int_eq(c->retry_delay_us, 1000000);
	ck_assert_int_eq(c->retry_max_delay_us, 300000000);
	ck_assert(c->retry_factor == 2 && c->retry_jitter == 0.1);
	ck_assert_int_eq(c->key_keep_us, INT64_C(86400000000));
	ck_assert_int_eq(c->output_limit_bytes, 10 << 20);
	ck_assert_int_eq(c->umask, 0022);
	ck_assert_str_eq(c->search_path, getenv("PATH"));
	ck_assert_int_eq(c->redirects, 10);
	ck_assert_int_eq(c->max_size_bytes, 0);
	ck_assert_str_eq(c->output_roots[0], home);
	ck_assert_ptr_null(c->output_roots[1]);
	ck_assert_str_eq(c->proxy, "");
}
END_TEST

START_TEST(all_settings)
{
	ck_assert_int_eq(load("; a comment\n"
			      "[daemon]\n"
			      "log_level = debug\n"
			      "stop_timeout = 1min 30s\n"
			      "allow_unsafe_fs = YES\n"
			      "[access]\n"
			      "socket_group = users\n"
			      "admin_group =\n"
			      "[quotas]\n"
			      "unfinished_jobs = 5\n"
			      "document_bytes = 0\n"
			      "[connections]\n"
			      "reserved_for_root = 0\n"
			      "max_buffers = 1G\n"
			      "max_connections = 1000 ; inline\n"
			      "max_connections_per_user=7\n"
			      "line_timeout: 5\n"
			      "output_soft = 2M\n"
			      "output_hard = 8388608\n"
			      "output_soft_timeout = 3s\n"
			      "[queues]\r\n"
			      "fetch_limit = 3\r\n"
			      "worker_limit = 1\n"
			      "hook_limit = 2\n"
			      "[jobs]\n"
			      "grace = 100ms\n"
			      "max_grace = 1s\n"
			      "retry_factor = 1.5\n"
			      "retry_jitter = 0\n"
			      "[worker]\n"
			      "output_limit = 64K\n"
			      "umask = 027\n"
			      "path = /opt/bin:/bin\n"
			      "[fetch]\n"
			      "max_size = 1G\n"
			      "output_roots = /srv/a:/srv/b/\n"
			      "\t/srv/c\n"
			      "allow_networks = loopback 10.0.0.0/8\n"
			      "  fd00::/8\n"
			      "proxy = http://u:p@proxy:3128\n"),
			 0);
	ck_assert_int_eq(c->log_level, LOG_DEBUG);
	ck_assert_int_eq(c->stop_timeout_us, 90000000);
	ck_assert(c->allow_unsafe_fs);
	ck_assert_str_eq(c->socket_group, "users");
	ck_assert_str_eq(c->admin_group, "");
	ck_assert_int_eq(c->quota_jobs, 5);
	ck_assert_int_eq(c->quota_bytes, 0);
	ck_assert_int_eq(c->max_connections, 1000);
	ck_assert_int_eq(c->reserved_for_root, 0);
	ck_assert_int_eq(c->max_buffers_bytes, 1 << 30);
	ck_assert_int_eq(c->max_connections_per_user, 7);
	ck_assert_int_eq(c->line_timeout_us, 5000000);
	ck_assert_int_eq(c->output_soft_bytes, 2 << 20);
	ck_assert_int_eq(c->output_hard_bytes, 8 << 20);
	ck_assert_int_eq(c->output_soft_timeout_us, 3000000);
	ck_assert_int_eq(c->fetch_limit, 3);
	ck_assert_int_eq(c->worker_limit, 1);
	ck_assert_int_eq(c->hook_limit, 2);
	ck_assert_int_eq(c->grace_us, 100000);
	ck_assert_int_eq(c->max_grace_us, 1000000);
	ck_assert(c->retry_factor == 1.5 && c->retry_jitter == 0);
	ck_assert_int_eq(c->output_limit_bytes, 65536);
	ck_assert_int_eq(c->umask, 027);
	ck_assert_str_eq(c->search_path, "/opt/bin:/bin");
	ck_assert_int_eq(c->max_size_bytes, 1 << 30);
	ck_assert_str_eq(c->output_roots[0], "/srv/a");
	ck_assert_str_eq(c->output_roots[1], "/srv/b");
	ck_assert_str_eq(c->output_roots[2], "/srv/c");
	ck_assert_ptr_null(c->output_roots[3]);
	ck_assert_uint_eq(c->allow_networks.n, 4);
	ck_assert_str_eq(c->proxy, "http://u:p@proxy:3128");
}
END_TEST

START_TEST(shown_settings)
{
	json_t *all, *want;

	ck_assert_int_eq(load("[fetch]\nproxy = http://u:p@proxy:3128\noutput_roots = /a\n"
			      "[worker]\npath = /bin\n[queues]\nworker_limit = 9\n"),
			 0);
	all = conf_to_json(c);
	want = json_loads(
		"{\"daemon.log_level\":\"info\",\"daemon.stop_timeout\":20,"
		"\"daemon.allow_unsafe_fs\":false,"
		"\"storage.reserve\":16777216,\"storage.min_free\":67108864,"
		"\"storage.check_max\":268435456,\"access.admin_refresh\":60,"
		"\"access.socket_group\":\"awaitd\",\"access.admin_group\":\"awaitd-admin\","
		"\"quotas.unfinished_jobs\":0,\"quotas.document_bytes\":0,"
		"\"connections.max_connections\":256,\"connections.reserved_for_root\":8,"
		"\"connections.max_connections_per_user\":64,\"connections.line_timeout\":30,"
		"\"connections.output_soft\":1048576,\"connections.output_soft_timeout\":10,"
		"\"connections.output_hard\":4194304,\"connections.max_buffers\":67108864,"
		"\"queues.fetch_limit\":64,\"queues.worker_limit\":9,"
		"\"queues.hook_limit\":4,"
		"\"jobs.grace\":5,\"jobs.max_grace\":3600,\"jobs.retry_delay\":1,"
		"\"jobs.retry_factor\":2.0,\"jobs.retry_max_delay\":300,"
		"\"jobs.retry_jitter\":0.1,\"jobs.crash_loop_within\":10,"
		"\"jobs.crash_loop_attempts\":3,\"jobs.key_keep\":86400,"
		"\"history.keep\":2592000,\"history.max_jobs\":1000000,"
		"\"history.max_bytes\":10737418240,"
		"\"worker.output_limit\":10485760,\"worker.output_wait\":1,"
		"\"worker.open_files\":1024,\"worker.umask\":\"0022\","
		"\"worker.path\":\"/bin\","
		"\"fetch.connect_timeout\":30,\"fetch.idle_timeout\":60,"
		"\"fetch.redirects\":10,\"fetch.max_size\":0,"
		"\"fetch.output_roots\":[\"/a\"],\"fetch.allow_networks\":[\"::/0\"],"
		"\"hooks.on_end\":\"\","
		"\"hooks.outcomes\":[\"failed\",\"timed_out\",\"lost\"],\"hooks.timeout\":300,"
		"\"fetch.proxy\":\"http://***@proxy:3128\",\"fetch.ca_file\":\"\"}",
		0, NULL);
	ck_assert_ptr_nonnull(want);
	ck_assert(json_equal(all, want));
	ck_assert_uint_eq(json_object_size(all), n_conf_settings);
	json_decref(all);
	json_decref(want);
}
END_TEST

START_TEST(table_is_whole)
{
	for (size_t i = 0; i < n_conf_settings; i++) {
		const struct conf_setting *s = &conf_settings[i];

		ck_assert_uint_gt(strlen(s->help), 10);
		ck_assert_int_ne(s->help[strlen(s->help) - 1], '.');
		ck_assert_int_le(s->min, s->max);
		for (size_t k = 0; k < i; k++)
			ck_assert(strcmp(s->name, conf_settings[k].name) != 0 ||
				  strcmp(s->section, conf_settings[k].section) != 0);
	}
}
END_TEST

/* ---- places ---- */

START_TEST(places_of_a_user)
{
	const struct conf_flags flags = { .scope = 1 };
	char want[128];

	ck_assert_int_eq(conf_load(&flags, &c, &err), 0);
	snprintf(want, sizeof(want), "%s/.local/state/awaitd", home);
	ck_assert_str_eq(c->state_dir, want);
	ck_assert_ptr_null(c->config_path);
	conf_free(c);
	setenv("XDG_STATE_HOME", "/xs", 1);
	setenv("XDG_RUNTIME_DIR", "/xr", 1);
	ck_assert_int_eq(conf_load(&flags, &c, &err), 0);
	ck_assert_str_eq(c->state_dir, "/xs/awaitd");
	ck_assert_str_eq(c->socket_path, "/xr/awaitd/awaitd.sock");
	conf_free(c);
	/* What is not absolute does not count. */
	setenv("XDG_STATE_HOME", "xs", 1);
	ck_assert_int_eq(conf_load(&flags, &c, &err), 0);
	ck_assert_str_eq(c->state_dir, want);
}
END_TEST

START_TEST(places_of_the_system)
{
	const struct conf_flags flags = { .scope = 2, .config = file };

	write_bytes("", 0);
	ck_assert_int_eq(conf_load(&flags, &c, &err), 0);
	ck_assert(c->is_system);
	ck_assert_int_eq(c->quota_jobs, 100000);
	ck_assert_uint_eq(c->allow_networks.n, 0);
	ck_assert_int_eq(c->quota_bytes, 256 << 20);
	ck_assert_str_eq(c->state_dir, "/var/lib/awaitd");
	ck_assert_str_eq(c->socket_path, "/run/awaitd/awaitd.sock");
	ck_assert_str_eq(c->output_roots[0], "/var/lib/awaitd/downloads");
	ck_assert_int_eq(c->umask, 0077);
	ck_assert_str_eq(c->search_path, "/usr/local/bin:/usr/bin:/bin");
}
END_TEST

START_TEST(places_by_flag)
{
	const struct conf_flags flags = {
		.scope = 1, .state_dir = "/s", .socket = "rel.sock", .log_level = "err"
	};
	char want[4096];

	ck_assert_int_eq(conf_load(&flags, &c, &err), 0);
	ck_assert_str_eq(c->state_dir, "/s");
	ck_assert_ptr_nonnull(getcwd(want, sizeof(want) - 16));
	memcpy(want + strlen(want), "/rel.sock", 10);
	ck_assert_str_eq(c->socket_path, want);
	ck_assert_int_eq(c->log_level, LOG_ERR);
}
END_TEST

START_TEST(bad_places)
{
	struct conf_flags flags = { .scope = 1, .log_level = "loud" };

	ck_assert_int_lt(conf_load(&flags, &c, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "--log-level"));
	write_bytes("", 0);
	flags = (struct conf_flags){ .scope = 1, .state_dir = file };
	ck_assert_int_lt(conf_load(&flags, &c, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "no directory"));
	if (geteuid() != 0)
		return;
	/* Somebody else's state directory would run their jobs with our rights. */
	ck_assert_int_eq(chown(home, 12345, 12345), 0);
	flags = (struct conf_flags){ .scope = 1, .state_dir = home };
	ck_assert_int_lt(conf_load(&flags, &c, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "12345"));
}
END_TEST

/* ---- reload ---- */

START_TEST(reload)
{
	json_t *restart = NULL;
	static const char text[] = "[daemon]\nstop_timeout = 3s\n[queues]\nfetch_limit = 5\n"
				   "worker_limit = 8\n[fetch]\nproxy = http://p:1\n";

	ck_assert_int_eq(load("[queues]\nworker_limit = 8\n"), 0);
	conf_apply(c);
	c = NULL;
	write_bytes(text, sizeof(text) - 1);
	ck_assert_int_eq(conf_reload(&restart, &err), 0);
	ck_assert_int_eq(conf->stop_timeout_us, 3000000);
	ck_assert_str_eq(conf->proxy, "http://p:1");
	ck_assert_int_eq(conf->fetch_limit, 64);
	ck_assert_uint_eq(json_array_size(restart), 1);
	ck_assert_str_eq(json_string_value(json_array_get(restart, 0)), "queues.fetch_limit");
	json_decref(restart);
	/* A bad file changes nothing. */
	write_bytes("[daemon]\nstop_timeout = 4s\nnonsense = 1\n", 40);
	ck_assert_int_lt(conf_reload(&restart, &err), 0);
	ck_assert_int_eq(conf->stop_timeout_us, 3000000);
	conf_apply(NULL);
	ck_assert_ptr_null(conf);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf");
	TCase *tc = tcase_create("conf");

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, bad_files, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tc, nul_and_no_file);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, all_settings);
	tcase_add_test(tc, shown_settings);
	tcase_add_test(tc, table_is_whole);
	tcase_add_test(tc, places_of_a_user);
	tcase_add_test(tc, places_of_the_system);
	tcase_add_test(tc, places_by_flag);
	tcase_add_test(tc, bad_places);
	tcase_add_test(tc, reload);
	return suite_run(s);
}
