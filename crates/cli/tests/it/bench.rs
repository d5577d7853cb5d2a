//! `tidemill bench`. Each test starts the program, which starts processes of its own, so few of them run at a time.

mod processes;
