/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/workenv.h"

#include "daemon/conf.h"
#include "proto/xalloc.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct list_of_text {
	char **items; /* owns, NULL-terminated */
	size_t n;
};

static void add(struct list_of_text *l, char *text)
{
	l->items = xreallocarray(l->items, l->n + 2, sizeof(char *));
	l->items[l->n++] = text;
	l->items[l->n] = NULL;
}

/* Unless the job's own says otherwise. */
static void add_default(struct list_of_text *l, const json_t *env, const char *name,
			const char *value)
{
	if (value && !json_object_get(env, name))
		add(l, xasprintf("%s=%s", name, value));
}

/*
 * The daemon's user, as the login that started it or its service manager has
 * it; the password database only where they are silent.
 */
static struct {
	const char *home, *user, *shell;
} self;

void workenv_init(void)
{
	const struct passwd *pw = getpwuid(geteuid());

	self.user = pw ? xstrdup(pw->pw_name) : getenv("USER");
	/* A service's user has /usr/sbin/nologin there, which is of no use to programs that ask. */
	self.shell = pw && *pw->pw_shell && !conf->is_system ? xstrdup(pw->pw_shell) : "/bin/sh";
	self.home = conf->is_system ? NULL : getenv("HOME");
	if (!self.home || self.home[0] != '/')
		self.home = pw && pw->pw_dir[0] == '/' ? xstrdup(pw->pw_dir) : "/";
}

const char *workenv_home(void)
{
	return self.home;
}

char **workenv_make(const struct attempt *a, const json_t *env, const char *results_path)
{
	struct list_of_text l = { 0 };
	const char *name;
	json_t *value;

	add_default(&l, env, "PATH", conf->search_path);
	add_default(&l, env, "HOME", self.home);
	add_default(&l, env, "USER", self.user);
	add_default(&l, env, "LOGNAME", self.user);
	add_default(&l, env, "SHELL", self.shell);
	add_default(&l, env, "LANG", getenv("LANG"));
	add_default(&l, env, "TZ", getenv("TZ"));
	add(&l, xasprintf("AWAITD_JOB_ID=%lld", (long long)a->id));
	add(&l, xasprintf("AWAITD_ATTEMPT=%u", a->attempt));
	/*
	 * The same for every attempt: what a worker does outside can be made to happen once
	 * with it.
	 */
	add(&l, xasprintf("AWAITD_IDEMPOTENCY_KEY=awaitd-job-%lld", (long long)a->id));
	if (results_path)
		add(&l, xasprintf("AWAITD_RESULTS=%s", results_path));
	json_object_foreach((json_t *)env, name, value)
		add(&l, xasprintf("%s=%s", name, json_string_value(value)));
	return l.items;
}

void workenv_free(char **env)
{
	for (char **e = env; e && *e; e++)
		free(*e);
	free(env);
}
