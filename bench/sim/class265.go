package sim

import "skein/bench/sim/scene"

func newPictures265(s *scene.Scene, v Video) pictures { return newPictures264(s, v) }
