/* SPDX-License-Identifier: MIT
 *
 * Opening and closing the descriptors of each kind of backend.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/types.h"
#include "devices/char/char_internal.h"

#define FILE_MODE 0666

/* A terminal is opened once more, to be nonblocking without being so for those who share it: it may be
 * stopped when it is written to, and somebody else may have taken the byte that is to be read. */
static int terminal_open_again(int fd, int access)
{
    char path[40];
    if (fd < 0 || !isatty(fd))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int char_open_descriptors(struct char_backend *backend, const struct char_config *config)
{
    backend->terminal_fd = terminal_open_again(config->in_fd, O_RDONLY);
    backend->input.fd = backend->terminal_fd >= 0 ? backend->terminal_fd : config->in_fd;
    backend->own_fd = terminal_open_again(config->out_fd, O_WRONLY);
    char_output_set_fd(backend, backend->own_fd >= 0 ? backend->own_fd : config->out_fd);
    return 0;
}

static int char_open_file(struct char_backend *backend, const char *path, bool append,
                          struct vmm_error *error)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (append ? O_APPEND : O_TRUNC);
    backend->own_fd = open(path, flags, FILE_MODE);
    if (backend->own_fd < 0)
        return error_set_errno(error, -errno, "console file %s: cannot create", path);
    char_output_set_fd(backend, backend->own_fd);
    return 0;
}

/* The other end is made raw, or its echo would come back as the guest's input. */
static int terminal_make_raw(int fd)
{
    struct termios mode;
    if (tcgetattr(fd, &mode))
        return -1;
    cfmakeraw(&mode);
    return tcsetattr(fd, TCSANOW, &mode);
}

static int char_open_pty(struct char_backend *backend, struct vmm_error *error)
{
    char name[64];
    backend->own_fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (backend->own_fd < 0)
        return error_set_errno(error, -errno, "console: cannot open a pseudo-terminal");
    if (grantpt(backend->own_fd) || unlockpt(backend->own_fd) ||
        ptsname_r(backend->own_fd, name, sizeof(name)))
        return error_set_errno(error, -errno, "console: cannot unlock the pseudo-terminal");
    backend->terminal_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (backend->terminal_fd < 0 || terminal_make_raw(backend->terminal_fd))
        return error_set_errno(error, -errno, "console: cannot set up the pseudo-terminal %s", name);
    backend->name = strdup(name);
    if (!backend->name)
        return error_set(error, -ENOMEM, "console: out of memory");
    backend->input.fd = backend->own_fd;
    char_output_set_fd(backend, backend->own_fd);
    return 0;
}

/* A socket that nobody listens on is left over from a run that was killed. (Connecting to what is no socket
 * at all is refused as well.) */
static bool socket_is_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int socket_bind(int fd, const struct sockaddr_un *address)
{
    if (!bind(fd, (const struct sockaddr *)address, sizeof(*address)))
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    if (!socket_is_stale(address) || unlink(address->sun_path))
        return -EADDRINUSE;
    return bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
}

static int char_open_socket(struct char_backend *backend, const char *path, struct vmm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (!len || len >= sizeof(address.sun_path))
        return error_set(error, -EINVAL, "console socket %s: the path must have 1 to %zu bytes", path,
                         sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, len);
    if (!backend->loop)
        return error_set(error, -EINVAL, "console socket %s: needs an event loop", path);
    backend->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (backend->listen_fd < 0)
        return error_set_errno(error, -errno, "console socket %s: cannot make a socket", path);
    int result = socket_bind(backend->listen_fd, &address);
    if (result == -EADDRINUSE)
        return error_set(
            error, result,
            "console socket %s: is there already, and in use or no socket: remove it, or take another path",
            path);
    if (result)
        return error_set_errno(error, result, "console socket %s: cannot bind", path);
    backend->name = strdup(path);
    if (!backend->name) {
        unlink(path);
        return error_set(error, -ENOMEM, "console: out of memory");
    }
    if (listen(backend->listen_fd, 1))
        return error_set_errno(error, -errno, "console socket %s: cannot listen", path);
    return char_listen_start(backend, error);
}

int char_open(struct char_backend *backend, const struct char_config *config, struct vmm_error *error)
{
    bool goes_on = config->peer && config->peer->is_open;
    int result = config->peer ? char_peer_take(config->peer, backend, error) : 0;
    if (result || goes_on)
        return result;
    switch (config->kind) {
    case CHAR_NONE:
        return 0;
    case CHAR_DESCRIPTORS:
        return char_open_descriptors(backend, config);
    case CHAR_FILE:
        return char_open_file(backend, config->path, config->append, error);
    case CHAR_PTY:
        return char_open_pty(backend, error);
    case CHAR_SOCKET:
        return char_open_socket(backend, config->path, error);
    }
    return error_set(error, -EINVAL, "console: unknown kind %d", (int)config->kind);
}

void char_close(struct char_backend *backend)
{
    int fds[] = {backend->own_fd, backend->terminal_fd, backend->listen_fd};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (backend->kind == CHAR_SOCKET && backend->name)
        unlink(backend->name);
    free(backend->name);
}
