;; WASI preview 1 for a plugin that was granted nothing: no arguments, no environment, no files, no randomness, and
;; output that goes nowhere. The clock stands still, except that who sleeps finds the time gone by.
(module
  (import "env" "memory" (memory 0))

  ;; Not zero: Go takes a clock at zero for one that is broken.
  (global $now (mut i64) (i64.const 1000000000))

  (func $two_zeros (param $first i32) (param $second i32) (result i32)
    (i32.store (local.get $first) (i32.const 0))
    (i32.store (local.get $second) (i32.const 0))
    (i32.const 0))
  (func $nothing (param i32 i32) (result i32) (i32.const 0))

  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $two_zeros (local.get 0) (local.get 1)))
  (func (export "environ_sizes_get") (param i32 i32) (result i32) (call $two_zeros (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) (call $nothing (local.get 0) (local.get 1)))
  (func (export "environ_get") (param i32 i32) (result i32) (call $nothing (local.get 0) (local.get 1)))

  (func (export "clock_res_get") (param i32 i32) (result i32)
    (i64.store (local.get 1) (i64.const 1000000))
    (i32.const 0))
  (func (export "clock_time_get") (param i32 i64 i32) (result i32)
    (i64.store (local.get 2) (global.get $now))
    (i32.const 0))

  ;; One subscription is enough for what runtimes do with it: sleep. A clock's time-out stands at its offset 24.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $many i32) (param $done i32) (result i32)
    (if (i32.eqz (i32.load8_u offset=8 (local.get $in)))
      (then (global.set $now (i64.add (global.get $now) (i64.load offset=24 (local.get $in))))))
    (i64.store (local.get $out) (i64.load (local.get $in)))
    (i64.store offset=8 (local.get $out) (i64.const 0))
    (i64.store offset=16 (local.get $out) (i64.const 0))
    (i64.store offset=24 (local.get $out) (i64.const 0))
    (i32.store (local.get $done) (i32.const 1))
    (i32.const 0))

  ;; The same bytes for everybody: a plugin that wants chance derives it from the event.
  (func (export "random_get") (param $at i32) (param $many i32) (result i32)
    (memory.fill (local.get $at) (i32.const 0x5a) (local.get $many))
    (i32.const 0))

  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) unreachable)
  (func (export "proc_raise") (param i32) (result i32) unreachable)

  ;; What is written counts as written.
  (func (export "fd_write") (param $fd i32) (param $parts i32) (param $many i32) (param $done i32) (result i32)
    (local $sum i32)
    (block $end (loop $next
      (br_if $end (i32.eqz (local.get $many)))
      (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $parts))))
      (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
      (local.set $many (i32.sub (local.get $many) (i32.const 1)))
      (br $next)))
    (i32.store (local.get $done) (local.get $sum))
    (i32.const 0))

  ;; 8 is `badf`: there are no descriptors.
  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_close") (param i32) (result i32) (i32.const 8))
  (func (export "fd_datasync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_renumber") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_tell") (param i32 i32) (result i32) (i32.const 8))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_recv") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_send") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 8)))
