// Package sim plays histories of processes that share sessions, and checks Evertoken's
// laws in them.
//
// A history has processes on hosts with clocks of their own, a store that they share,
// a network between each of them and an authorization server, and a person who logs in
// and out. All of them fail in the ways of their kind, and processes die between any
// two calls. Time is that of a testing/synctest bubble, so a day takes milliseconds.
//
// One seed makes one [Plan]: a world and a list of events. [Run] plays it and returns
// what it saw: the first law that was broken, with a timeline, and the losses that no
// client can prevent, by their cause. [Shrink] drops events from a plan for as long as
// it goes on to fail.
//
// The server is oauthtest in process. What the processes may know, and what they
// should therefore not do, is kept in a ledger beside the server and the store: the
// judgement uses none of the code that is judged.
package sim
