/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "daemon/conf.h"

#include <stdbool.h>

/* The daemon as a whole: what is built up in which order, and taken down again. */

struct daemon_options {
	struct conf_flags conf;
	bool is_check;	      /* --check */
	bool is_check_config; /* --check-config */
	bool is_init;	      /* --init */
};

/* Run until told to stop.  Returns the exit status (interface, section 5). */
int daemon_main(const struct daemon_options *options);

/*
 * Stop in order: no new starts, attempts ended within the stop time (after those that run,
 * with @drain). Harmless twice.
 */
void daemon_shutdown(bool drain);

/* The configuration was read again and is in force: tell those who keep something of it. */
void daemon_settings_changed(void);

#endif
