// Package fault gives rooms the places where a test may hurt them.
//
// A room has a variable of a function that it calls at each place, by name, and
// that does nothing. Its own tests replace it; a program built with the tag
// "faults" gets from here one that does what the environment says (env.go). No
// other build holds that file, or reads these names.
package fault

// A Point is called where a test may end the process, or let the step before it
// fail: the error is then taken for that step's own.
type Point func(place string) error
