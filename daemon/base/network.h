/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_BASE_NETWORK_H
#define DAEMON_BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Ranges of IP addresses.  IPv4 is kept as ::ffff:a.b.c.d, so that there is one kind. */

struct network {
	uint8_t address[16];
	uint8_t n_bits; /* of the prefix, of 128 */
};

/*
 * "10.0.0.0/8", "fd00::/8", or an address alone.  NULL, or what is wrong with
 * @text, which fits behind its name.
 */
const char *network_parse(const char *text, struct network *ret);
/* As it would stand in the file.  @text: room for NETWORK_TEXT_BYTES. */
#define NETWORK_TEXT_BYTES 56
void network_format(const struct network *n, char *text);

/*
 * The address of @sa in that one form: of the IPv6 forms that lead to an IPv4
 * address (mapped, compatible, NAT64, 6to4) what they lead to.  False if it is
 * neither IPv4 nor IPv6.
 */
bool network_address(const struct sockaddr *sa, uint8_t ret[16]);
bool network_has(const struct network *n, const uint8_t address[16]);

#endif
