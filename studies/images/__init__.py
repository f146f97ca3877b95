"""One-sided and mirror paths on images of clothes: samples, diversity against noise, nearest neighbours."""
