/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_DENY_H
#define DAEMON_KINDS_DENY_H

#include "daemon/base/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/*
 * Addresses that are never contacted, whoever asks (R4.12): link-local,
 * metadata services, multicast, "this host", also in their IPv6 disguises.
 * Pure.  What is neither IPv4 nor IPv6 is denied too.
 */
bool deny_address(const struct sockaddr *address);

/*
 * Loopback, private and other networks that belong to this machine or its
 * site, unless one of @allowed has the address.
 */
bool deny_local(const struct sockaddr *address, const struct network *allowed, size_t n_allowed);

#endif
