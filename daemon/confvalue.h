/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_CONFVALUE_H
#define DAEMON_CONFVALUE_H

#include "daemon/conf.h"

/* For conf.c: a setting's value, by its type. */

/* Set @s of @c from @text.  The message in @err fits behind the setting's name. */
int conf_value_set(struct conf *c, const struct conf_setting *s, const char *text,
		   struct aw_err *err);
/* For daemon.info; gives it. */
json_t *conf_value_json(const struct conf *c, const struct conf_setting *s);
void conf_value_swap(struct conf *a, struct conf *b, const struct conf_setting *s);

/* A NULL-terminated list of paths, both owned; NULL = none.  @path loses "/" at its end. */
void conf_paths_add(char ***paths, const char *path, size_t len);
void conf_paths_free(char **paths);

/* Add the networks that @text names; NULL, or what is wrong with it. */
const char *conf_networks_add(struct conf_networks *to, const char *text);

#endif
