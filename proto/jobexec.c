/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobexec.h"

#include <string.h>

#include "proto/limits.h"

#define DIGITS "0123456789"
#define WORD DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"

/*
 * What the daemon and the service manager tell their children, and what would
 * change how programs are loaded (R3.4).
 */
static bool is_reserved_variable(const char *name)
{
	static const char *const whole[] = { "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY" };
	static const char *const starts[] = { "AWAITD_", "LD_", "LISTEN_", "WATCHDOG_" };

	for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++)
		if (strcmp(name, whole[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		if (strncmp(name, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

bool jobexec_has(const struct jobkey *key)
{
	return key->rule == JK_RULE_ARGV || key->rule == JK_RULE_ENV;
}

int jobexec_refuse_length(const struct jobvalue_place *c)
{
	return jobvalue_refuse(c,
			       "is%s longer than %d bytes, the most that a program can be given as "
			       "one string: use stdin or a file",
			       c->member ? ", with its name," : "", JOB_ARG_MAX_BYTES);
}

int jobexec_check_variable(const struct jobvalue_place *c, const char *name, size_t len)
{
	if (!*name || strspn(name, WORD) != strlen(name) || strchr(DIGITS, *name))
		return jobvalue_refuse(c, "is no name of a variable (letters, digits and \"_\")");
	if (is_reserved_variable(name))
		return jobvalue_refuse(c, "cannot be set: such names are reserved");
	if (strlen(name) + 1 + len > JOB_ARG_MAX_BYTES)
		return jobexec_refuse_length(c);
	return 0;
}
