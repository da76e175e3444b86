// Package greet greets.
package greet

// Text is the greeting.
func Text() string { return "hello" }
