"""Seccomp: takes system calls from this process that decoding never needs, through the system's libseccomp.

A list of what is denied, not of what is allowed: the latter changes with each version of the C library and
of FFmpeg, and a call that is missing in it would fail somebody's good recording.
"""

from __future__ import annotations

import ctypes
import errno

_ALLOW = 0x7FFF0000
_FAIL = 0x00050000  # with the error number in the lower half
_NOT_EQUAL = 1
_MASKED_EQUAL = 7
_CLONE_THREAD = 0x00010000
_UNKNOWN_CALL = -1

# No network, no other programs, no look into other processes, no way out of the limits.
DENIED = (
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
    "kcmp", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kill", "rt_sigqueueinfo", "unshare", "setns", "mount",
    "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "move_mount", "open_tree", "open_by_handle_at",
    "name_to_handle_at", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "init_module",
    "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "quotactl",
    "acct", "setrlimit", "personality",
)  # fmt: skip


class _Condition(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def _loaded() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None


# With this module, for Landlock hides it later.
_LIBRARY = _loaded()


def restrict() -> bool:
    """Deny this thread, and those that it starts, what is in `DENIED`, new processes and new limits. For good.

    Returns
    -------
    bool
        Whether it holds: False where libseccomp is missing or the system refuses.
    """
    library = _LIBRARY
    if library is None:
        return False
    library.seccomp_init.restype = ctypes.c_void_p
    rules = library.seccomp_init(ctypes.c_uint32(_ALLOW))
    if not rules:
        return False
    rules = ctypes.c_void_p(rules)
    try:
        for name in DENIED:
            _deny(library, rules, name, errno.EPERM)
        # The C library then falls back to clone, whose flags can be looked at.
        _deny(library, rules, "clone3", errno.ENOSYS)
        _deny(library, rules, "clone", errno.EPERM, _Condition(0, _MASKED_EQUAL, _CLONE_THREAD, 0))
        # Asking for the limits (a new one of NULL) is what starting a thread does.
        _deny(library, rules, "prlimit64", errno.EPERM, _Condition(2, _NOT_EQUAL, 0, 0))
        return bool(library.seccomp_load(rules) == 0)
    finally:
        library.seccomp_release(rules)


def _deny(library: ctypes.CDLL, rules: ctypes.c_void_p, name: str, error: int, *conditions: _Condition) -> None:
    call = library.seccomp_syscall_resolve_name(name.encode("ascii"))
    if call == _UNKNOWN_CALL:
        return
    array = (_Condition * max(1, len(conditions)))(*conditions)
    library.seccomp_rule_add_array(rules, ctypes.c_uint32(_FAIL | error), call, len(conditions), array)
