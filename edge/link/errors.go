package link

import "errors"

// What opening and accepting streams may answer.
var (
	// ErrUnknown means that no node offers that profile of the camera.
	ErrUnknown = errors.New("no node offers this camera and profile")
	// ErrNodeDown means that the link to the camera's node is down.
	ErrNodeDown = errors.New("the link to the camera's node is down")
	// ErrTimeout means that the node did not publish the stream in time.
	ErrTimeout = errors.New("the node did not publish the stream in time")
	// ErrNotWanted means that a publication arrived that nobody asked for, or whose token is wrong or used.
	ErrNotWanted = errors.New("this publication is not wanted, or its token is wrong or used")
	// ErrReplaced ends a stream in whose place a newer publication came.
	ErrReplaced = errors.New("replaced by a newer publication")
	// ErrStopped ends streams when their set is closed.
	ErrStopped = errors.New("the gateway stops")
)
