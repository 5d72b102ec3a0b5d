/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/conf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/xalloc.h"
#include "tests/fuzz/fuzz.h"

/* The configuration file, for a user's daemon and for the system's. */

static void check_settings(const struct conf *c)
{
	json_t *settings = conf_to_json(c);

	assert(json_object_size(settings) == n_conf_settings);
	json_decref(settings);
	assert(c->output_roots && c->output_roots[0] && c->output_roots[0][0] == '/');
	for (size_t i = 0; i < n_conf_settings; i++) {
		const struct conf_setting *s = &conf_settings[i];
		int64_t value;

		if (s->type == CONF_NUMBER) {
			double number;

			memcpy(&number, (const char *)c + s->at, sizeof(number));
			assert(number >= (double)s->min && number <= (double)s->max);
		}
		if (s->type != CONF_COUNT && s->type != CONF_MODE && s->type != CONF_DURATION &&
		    s->type != CONF_SIZE)
			continue;
		memcpy(&value, (const char *)c + s->at, sizeof(value));
		assert(value >= s->min && value <= s->max);
	}
}

static void load(const char *path, int scope)
{
	const struct conf_flags flags = { .scope = scope, .config = path };
	struct aw_err err = { 0 };
	struct conf *c = NULL;

	if (conf_load(&flags, &c, &err) == 0) {
		check_settings(c);
		conf_free(c);
	} else {
		assert(err.code == AW_PARAMS && err.message[0]);
	}
	aw_err_fini(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("conf", MFD_CLOEXEC);
	cleanup_free char *path = xasprintf("/proc/self/fd/%d", fd);

	setenv("HOME", "/", 1);
	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	load(path, 1);
	load(path, 2);
	close(fd);
	return 0;
}
