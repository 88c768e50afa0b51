"""A network -> a page that enhances the webcam in the browser, served here or as a static site."""
